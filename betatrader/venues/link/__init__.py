"""The reference venue's link: the simulated exchange in a process of its own, over a socket.

wire    the messages, and frames of them
client  the venue as the trader sees it
server  the exchange behind the socket, with the faults that it is told to have
"""
