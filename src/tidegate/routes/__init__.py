"""The routes: their table, their handlers, and the WebSocket."""
