"""Topics in Redis: the port `Topics`."""
