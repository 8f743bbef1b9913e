"""The way to Redis: lanes of commands and one subscription to each server, through broken connections."""
