"""How connections over TLS are verified."""

from __future__ import annotations

import functools
import ssl


@functools.cache
def tls() -> ssl.SSLContext:
    """The default context: certificates and host names are verified. Cached, since loading its roots takes 20 ms."""
    return ssl.create_default_context()
