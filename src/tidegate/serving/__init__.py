"""Serving connections: HTTP and WebSocket on uvicorn, with limits of their own, and writing straight to them."""
