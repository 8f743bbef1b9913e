"""Which version of HTTP a browser would speak with the deployment."""

from __future__ import annotations

import asyncio
import ssl

from tidegate.http_client.endpoint import Endpoint
from tidegate.http_client.errors import TimedOut, failure

OFFERED = ("h2", "http/1.1")


async def chosen(endpoint: Endpoint, seconds: float) -> str:
    """What the server chooses of what browsers offer (RFC 7301); empty for nothing. Raises `HttpError`."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(OFFERED)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds):
            transport, _ = await loop.create_connection(asyncio.Protocol, endpoint.host, endpoint.port, ssl=context)
    except TimeoutError:
        raise TimedOut("no answer in time") from None
    except OSError as error:
        raise failure(error) from error
    try:
        return transport.get_extra_info("ssl_object").selected_alpn_protocol() or ""
    finally:
        transport.abort()
