from __future__ import annotations

import pytest

from tidegate.gate.account import account_of, address_of


@pytest.mark.parametrize(
    ("client", "account"),
    [
        (("192.0.2.7", 1234), "address:192.0.2.7"),
        (("2001:db8:1:2:3:4:5:6", 1234), "address:2001:db8:1:2::/64"),
        (("2001:db8:1:2::9", 1), "address:2001:db8:1:2::/64"),
        (("::ffff:192.0.2.7", 1), "address:192.0.2.7"),
        (("unix", 0), "address:unix"),
        (("", 0), "address:"),
        (None, "address:"),
    ],
)
def test_account(client: tuple[str, int] | None, account: str) -> None:
    """Who has no name is counted by its address; in IPv6 by its network, since it has all addresses of that."""
    assert account_of({"client": client}) == account


def test_no_client() -> None:
    """A server that knows no address has all of its callers share an account."""
    assert address_of({}) == ""
    assert account_of({}) == "address:"
