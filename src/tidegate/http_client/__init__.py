"""The HTTP client: endpoints, connections to them, a pool, and the errors of calls."""
