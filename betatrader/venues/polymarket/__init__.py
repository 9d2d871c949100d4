"""Polymarket: its protocol, from both ends.

serve  the venue's own HTTP and WebSocket protocol before the simulated exchange
"""
