"""Serving connections: HTTP and WebSocket on uvicorn, with limits of their own, and the direct way to a client."""
