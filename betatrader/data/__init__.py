"""Packaged market data; NOTICE.md names its source and licence."""
