"""The URL of a Redis store: one server, a service that Sentinels watch over, or a cluster."""

from __future__ import annotations

from typing import Literal
from urllib.parse import unquote, urlsplit

import msgspec

DEFAULT_PORT = 6379

SENTINEL_PORT = 26379

SCHEMES = ("redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")

Kind = Literal["server", "sentinel", "cluster"]


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where Redis is, and as whom this node logs in. `hosts` are servers, Sentinels or members of a cluster.

    `password_file`, if given, has the password, and is read anew for each connection.
    """

    kind: Kind
    hosts: tuple[tuple[str, int], ...]
    service: str = ""
    database: int = 0
    username: str = ""
    password: str = ""
    password_file: str = ""
    tls: bool = False
    ca_file: str = ""

    @property
    def named(self) -> str:
        """The place for people, without credentials."""
        return ", ".join(f"{host}:{port}" for host, port in self.hosts)


def parse(url: str) -> Place:
    """Reads a URL. Raises `ValueError`, whose text never has a part of the URL that may be a secret."""
    scheme, _, rest = url.partition("://")
    if scheme not in SCHEMES or not rest:
        raise ValueError(f"it begins with one of {', '.join(each + '://' for each in SCHEMES)}")
    protocol, _, suffix = scheme.partition("+")
    kind: Kind = "sentinel" if suffix == "sentinel" else "cluster" if suffix == "cluster" else "server"
    if "?" in rest or "#" in rest:
        raise ValueError("it has no query and no fragment; other settings stand in [store]")
    login, _, rest = rest.rpartition("@")
    if "/" in login:
        raise ValueError("a / in a user's name or password is written %2F")
    hosts, _, path = rest.partition("/")
    username, _, password = login.partition(":")
    service, database = _service(kind, path)
    return Place(
        kind=kind,
        hosts=tuple(_host(each, SENTINEL_PORT if kind == "sentinel" else DEFAULT_PORT) for each in _hosts(kind, hosts)),
        service=service,
        database=database,
        username=unquote(username),
        password=unquote(password),
        tls=protocol == "rediss",
    )


def described(url: str) -> str:
    """The URL without its credentials, for people."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def _hosts(kind: Kind, hosts: str) -> list[str]:
    found = hosts.split(",")
    if kind == "server" and len(found) > 1:
        raise ValueError("one server has one address; several are redis+sentinel:// or redis+cluster://")
    return found


def _host(text: str, default: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host:
        raise ValueError("each address is HOST or HOST:PORT")
    return host, port or default


def _service(kind: Kind, path: str) -> tuple[str, int]:
    """The Sentinels' name of the service, and the number of the database."""
    if kind == "cluster":
        if path:
            raise ValueError("a cluster has one database: nothing follows its addresses")
        return "", 0
    service, _, database = path.partition("/") if kind == "sentinel" else ("", "", path)
    if kind == "sentinel" and not service:
        raise ValueError("the name of the service follows the Sentinels' addresses: redis+sentinel://H1:P,H2:P/SERVICE")
    if database and not (database.isascii() and database.isdigit()):
        raise ValueError("a database is a number")
    return service, int(database or 0)
