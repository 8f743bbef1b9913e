"""The engine: producers fill logs, readers follow logs, and the service connects both to their stream."""
