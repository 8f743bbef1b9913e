"""Clients of tidegate and of its upstreams: readers, producers, and lists of models."""
