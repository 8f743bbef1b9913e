"""Nodes on one Redis: the port `Cluster`."""
