"""Dialects: wire formats of the same events. Pure: `parse` turns a body into a request, `encode` events into bytes."""
