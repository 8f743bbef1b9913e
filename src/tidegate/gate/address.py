"""What the limits of a caller are counted on where it has no name: its address."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

SITE_BITS = 64
"""Of an IPv6 address: below that a single machine has as many addresses as it likes."""


LONGEST = 64
"""An IPv6 address with a zone; what is longer is none. Proxies pass on what clients send, and some of it is kept."""

ANY = "*"

UNKNOWN = "address:unknown"
"""The account of all whose address is none: a client cannot make up another for each of its requests."""


def address_of(scope: MutableMapping[str, Any]) -> str:
    """The client's address, as trusted proxies tell it; empty where there is none, as on a Unix socket."""
    client = scope.get("client")
    return client[0] if client and len(client[0]) <= LONGEST else ""


def account_of(scope: MutableMapping[str, Any]) -> str:
    """`address:…` of the client, the network where it is of IPv6; `UNKNOWN` where it is none."""
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
    """The account of an address; None for one of these addresses and networks (`*`: any), and where there is none."""
    networks = [ip_network(each) for each in trusted if each != ANY]

    @lru_cache(4096)
    def account(address: str) -> str | None:
        if not address or ANY in trusted:
            return None
        parsed = ip_address(address)
        return None if any(parsed in network for network in networks) else _account(address)

    return account
