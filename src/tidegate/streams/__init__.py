"""The engine: producers fill logs, readers follow them, the service ties both to their stream."""
