"""A rolling update as Kubernetes does it, with real servers and a real Redis, under live streams and their readers."""
