"""Who may come in and how much they may bring: plain ASGI middleware, one file each."""
