"""Sockets and HTTP, so that adapters and servers know no library: both ends of either.

transport  what an adapter needs: one request, one socket; and what a server must be
live       that over real sockets
direct     a core in this process, for benchmarks
serving    a server's core on a port of this machine
recorder   a transport that keeps what it carries
feed       a WebSocket that is opened again when it breaks or falls silent
"""
