"""The account of a caller who has no name, for its limits: its address."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

SITE_BITS = 64
"""The bits of an IPv6 address that count: a single machine may have any number of addresses below a /64."""


LONGEST = 64
"""Characters of an IPv6 address with a zone; longer text is no address. Proxies pass on what clients make up."""

ANY = "*"

FORWARDING = frozenset(
    (
        b"cf-connecting-ip",
        b"forwarded",
        b"true-client-ip",
        b"via",
        b"x-client-ip",
        b"x-envoy-external-address",
        b"x-original-forwarded-for",
        b"x-real-ip",
    )
)
"""Headers by which a proxy says that it passes on somebody else's request, besides `x-forwarded-…`."""

ORIGIN = b"origin"
"""A page of another site that somebody has open on this machine is not this machine: its requests have an origin."""

UNKNOWN = "address:unknown"
"""The account of all callers without a valid address: one for all, or a client could make up one per request."""


def address_of(scope: MutableMapping[str, Any]) -> str:
    """The client's address, as trusted proxies report it; empty where there is none, as on a Unix socket."""
    client = scope.get("client")
    return client[0] if client and len(client[0]) <= LONGEST else ""


def is_local(scope: MutableMapping[str, Any]) -> bool:
    """Whether the client is on this machine: its address is loopback's, no proxy has passed its request on, and no page
    makes it for another site."""
    try:
        local = ip_address(address_of(scope)).is_loopback
    except ValueError:
        return False
    return local and not any(
        name == ORIGIN or name in FORWARDING or name.startswith(b"x-forwarded-") for name, _ in scope.get("headers", ())
    )


def account_of(scope: MutableMapping[str, Any]) -> str:
    """`address:` and the client's IPv4 address or IPv6 network; `UNKNOWN` where it has no valid address."""
    return _account(address_of(scope))


@lru_cache(4096)
def _account(address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:
        return UNKNOWN
    if isinstance(parsed, IPv6Address):
        parsed = parsed.ipv4_mapped or ip_network((parsed, SITE_BITS), strict=False)
    return f"address:{parsed}"


def account_unless(trusted: Sequence[str]) -> Callable[[str], str | None]:
    """A function from an address to its account: None for trusted ones (`*`: all), and for an empty one."""
    networks = [ip_network(each) for each in trusted if each != ANY]

    @lru_cache(4096)
    def account(address: str) -> str | None:
        if not address or ANY in trusted:
            return None
        parsed = ip_address(address)
        return None if any(parsed in network for network in networks) else _account(address)

    return account
