"""Servers and clients for tests of tidegate and of what is built on it."""
