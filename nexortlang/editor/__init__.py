"""What an editor or a prompt wants to know of a program: what its names mean, which types they have, what could come next.

Nothing here knows a protocol or a terminal. Places are code points.
"""
