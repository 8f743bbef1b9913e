"""Delivering events: what a reader has is written to its connection."""
