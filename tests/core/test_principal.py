from __future__ import annotations

from tidegate.core.principal import ANONYMOUS, SCOPES, Principal


def test_has() -> None:
    """A principal may do what its scopes say, and nothing else."""
    reader = Principal("key:ci", frozenset({"read"}))
    assert reader.has("read")
    assert not reader.has("admin")


def test_anonymous() -> None:
    """Where no authentication is configured everything is allowed."""
    assert ANONYMOUS.scopes == SCOPES == {"generate", "read", "cancel", "publish", "subscribe", "metrics", "admin"}
