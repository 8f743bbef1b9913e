"""The endpoint of a server, parsed from its URL, and the heads of requests to it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from tidegate.core.url import is_http, shown_url
from tidegate.errors import ConfigError

PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A base URL in its parts. `prefix` and `query` go before and after the path of a call."""

    scheme: str
    host: str
    port: int
    prefix: str = ""
    query: str = ""
    credentials: str = ""

    @classmethod
    def parse(cls, url: str) -> Endpoint:
        """Reads `http[s]://[USER:PASSWORD@]HOST[:PORT][/PREFIX][?QUERY]`. Raises `ConfigError`, secrets masked."""
        if not is_http(url):
            raise ConfigError(f"{shown_url(url)!r} is not an http or https URL")
        parts = urlsplit(url)
        port = parts.port or PORTS[parts.scheme]
        credentials = unquote(parts.netloc.rpartition("@")[0])
        return cls(parts.scheme, parts.hostname or "", port, parts.path.rstrip("/"), parts.query, credentials)

    @property
    def authority(self) -> str:
        """The value of the Host header, without the port where it is the scheme's default."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def basic(self) -> str:
        """The credentials as HTTP Basic sends them (RFC 7617)."""
        return b64encode(self.credentials.encode()).decode()

    def target(self, path: str) -> str:
        """The request target of a call, e.g. `/v1/chat/completions`."""
        return f"{self.prefix}{path}" + (f"?{self.query}" if self.query else "")

    def request_head(self, method: str, path: str, headers: Mapping[str, str]) -> bytes:
        """The head of a request, with its Host and these `headers`, each line ended; the blank line is still to come.

        The caller has to check values from outside for characters that cannot stand in a header.
        """
        lines = [f"{method} {self.target(path)} HTTP/1.1", f"host: {self.authority}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "".join(f"{line}\r\n" for line in lines).encode("ascii")
