"""Sending and receiving, nothing else."""
