"""Where an upstream is, and the way there."""

from __future__ import annotations

import asyncio
import functools
import re
import socket
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from tidegate.core.request_id import current_request_id
from tidegate.core.trace_context import current_trace
from tidegate.core.url import shown_url
from tidegate.errors import ConfigError, ProviderError, UpstreamTimeout, UpstreamUnreachable
from tidegate.providers.upstream_connection import UpstreamConnection

if TYPE_CHECKING:
    import ssl

PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A base URL, taken apart. `prefix` and `query` surround the path of a call."""

    scheme: str
    host: str
    port: int
    prefix: str = ""
    query: str = ""
    credentials: str = ""

    @classmethod
    def parse(cls, url: str) -> Endpoint:
        """Reads `http[s]://[USER:PASSWORD@]HOST[:PORT][/PREFIX][?QUERY]`. Raises `ConfigError`, secrets masked."""
        try:
            if re.fullmatch(r"[!-~]+", url) is None:
                raise ValueError("not visible ASCII")
            parts = urlsplit(url)
            port = parts.port or PORTS[parts.scheme]
            if not parts.hostname:
                raise ValueError("no host")
        except (ValueError, KeyError):
            raise ConfigError(f"{shown_url(url)!r} is not an http or https URL") from None
        credentials = unquote(parts.netloc.rpartition("@")[0])
        return cls(parts.scheme, parts.hostname, port, parts.path.rstrip("/"), parts.query, credentials)

    @property
    def authority(self) -> str:
        """The Host header: without the port where it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def basic(self) -> str:
        """The credentials as RFC 7617 sends them."""
        return b64encode(self.credentials.encode()).decode()

    def target(self, path: str) -> str:
        """The request target of a call, e.g. `/v1/chat/completions`."""
        return f"{self.prefix}{path}" + (f"?{self.query}" if self.query else "")

    def request_head(self, path: str, api_key: str) -> bytes:
        """The head of a POST of JSON that is answered by an event stream, up to the value of content-length.

        Raises `ConfigError` if the key cannot stand in a header.
        """
        lines = [
            f"POST {self.target(path)} HTTP/1.1",
            f"host: {self.authority}",
            f"user-agent: tidegate/{version()}",
            "accept: text/event-stream",
            "accept-encoding: identity",
            "content-type: application/json",
        ]
        if api_key:
            if re.fullmatch(r"[!-~]+", api_key) is None:
                raise ConfigError("the API key holds characters that cannot stand in a header")
            lines.append(f"authorization: Bearer {api_key}")
        elif self.credentials:
            lines.append(f"authorization: Basic {self.basic}")
        return "\r\n".join([*lines, "content-length: "]).encode("ascii")


def tracing_lines(random_bytes: Callable[[int], bytes]) -> bytes:
    """The header lines by which the upstream's log can be read beside ours: the request, and a new span of its trace.

    Both were found fit for a header when the request began. What no request has started has neither.
    """
    lines: list[str] = []
    if (request_id := current_request_id.get()) is not None:
        lines.append(f"x-request-id: {request_id}\r\n")
    if (trace := current_trace.get()) is not None:
        lines.append(f"traceparent: {trace.child(random_bytes(8)).header()}\r\n")
        if trace.state:
            lines.append(f"tracestate: {trace.state}\r\n")
    return "".join(lines).encode("ascii")


@functools.cache
def version() -> str:
    """The installed version of tidegate."""
    from importlib.metadata import version

    return version("tidegate")


@functools.cache
def tls() -> ssl.SSLContext:
    """The default context: certificates and host names are verified. Loading its roots takes 20 ms, so once."""
    import ssl

    return ssl.create_default_context()


async def connect(endpoint: Endpoint, seconds: float) -> UpstreamConnection:
    """Opens a connection, TLS included, within so many `seconds`.

    Raises `UpstreamTimeout` or `UpstreamUnreachable`: nothing has been sent then. Their messages name no host:
    they are shown to clients; the cause has it.
    """
    loop = asyncio.get_running_loop()
    context = tls() if endpoint.scheme == "https" else None
    try:
        async with asyncio.timeout(seconds):
            _, connection = await loop.create_connection(UpstreamConnection, endpoint.host, endpoint.port, ssl=context)
    except OSError as error:
        raise _unreachable(error) from error
    return connection


def _unreachable(error: OSError) -> ProviderError:
    if isinstance(error, TimeoutError):
        return UpstreamTimeout("The upstream did not accept the connection in time.")
    if isinstance(error, socket.gaierror):
        return UpstreamUnreachable("The upstream's host name is not known.")
    if isinstance(error, ConnectionRefusedError):
        return UpstreamUnreachable("The upstream refused the connection.")
    if type(error).__module__ == "ssl":
        return UpstreamUnreachable("The upstream's TLS handshake failed.")
    return UpstreamUnreachable("The upstream cannot be reached.")
