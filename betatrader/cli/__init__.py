"""The command line: thin, heavy imports inside commands."""
