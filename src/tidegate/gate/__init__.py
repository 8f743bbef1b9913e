"""Checks who may call, and limits how much: plain ASGI middleware, one file each."""
