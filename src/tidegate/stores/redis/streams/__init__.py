"""Streams in Redis: the port `Log` for those that this node fills or reads, and the port `Catalogue`."""
