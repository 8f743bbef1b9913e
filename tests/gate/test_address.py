from __future__ import annotations

import pytest

from tidegate.gate.address import LONGEST, UNKNOWN, account_of, account_unless, address_of


@pytest.mark.parametrize(
    ("client", "account"),
    [
        (("192.0.2.7", 1234), "address:192.0.2.7"),
        (("2001:db8:1:2:3:4:5:6", 1234), "address:2001:db8:1:2::/64"),
        (("2001:db8:1:2::9", 1), "address:2001:db8:1:2::/64"),
        (("::ffff:192.0.2.7", 1), "address:192.0.2.7"),
        (("fe80::1%eth0", 1), "address:fe80::/64"),
        (("fe80::1%eth1", 1), "address:fe80::/64"),
    ],
)
def test_account(client: tuple[str, int] | None, account: str) -> None:
    """Who has no name is counted by its address; in IPv6 by its network, since it has all addresses of that."""
    assert account_of({"client": client}) == account


@pytest.mark.parametrize("client", [None, ("", 0), ("unix", 0), ("1.2.3", 0), ("192.0.2.7, x", 0), ("z" * 50_000, 0)])
def test_no_address(client: tuple[str, int] | None) -> None:
    """All who have no address share an account: by a header that a proxy lets through nobody gets one of its own."""
    assert account_of({"client": client}) == UNKNOWN


def test_no_client() -> None:
    """What cannot be an address is not kept as one."""
    assert address_of({}) == ""
    assert address_of({"client": ("1" * LONGEST, 0)}) == "1" * LONGEST
    assert address_of({"client": ("1" * (LONGEST + 1), 0)}) == ""


@pytest.mark.parametrize(
    ("address", "account"),
    [
        ("192.0.2.7", "address:192.0.2.7"),
        ("2001:db8:1:2::9", "address:2001:db8:1:2::/64"),
        ("10.1.2.3", None),
        ("127.0.0.1", None),
        ("fd00::1", None),
        ("", None),
    ],
)
def test_who_is_trusted_has_no_account(address: str, account: str | None) -> None:
    """Nor has whoever has no address, as on a Unix socket: what comes from there is many callers'."""
    assert account_unless(("127.0.0.1", "10.0.0.0/8", "fd00::/8"))(address) == account
    assert account_unless(("*",))(address) is None
