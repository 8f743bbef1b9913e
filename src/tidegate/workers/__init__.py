"""Several processes on one port: a parent that starts them, keeps them running, and stops them together."""
