"""From a request's path and method to its handler."""
