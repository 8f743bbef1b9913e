from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tidegate.core.principal import Principal
from tidegate.gate.api_keys import ApiKey, ApiKeys, key_sha256

KEYS = [
    ApiKey(name="ci", sha256=key_sha256("tg_ci"), scopes=("generate", "read")),
    ApiKey(name="ops", sha256=key_sha256("tg_ops").upper(), scopes=("admin",)),
    ApiKey(name="none", sha256=key_sha256("tg_none")),
]


def test_holder() -> None:
    """A key is known by its hash alone, and brings its name and scopes; its limits are counted on its name."""
    expected = Principal("key:ci", frozenset({"generate", "read"}), "key:ci", key=key_sha256("tg_ci")[:16])
    assert ApiKeys(KEYS).holder("tg_ci") == expected


def test_every_key() -> None:
    """Any of the keys will do; one without scopes may do nothing."""
    keys = ApiKeys(KEYS)
    ops, none = keys.holder("tg_ops"), keys.holder("tg_none")
    assert ops is not None
    assert ops.name == "key:ops"
    assert none is not None
    assert none.scopes == frozenset()


def test_who_holds_a_key_may_do_what_it_says_now() -> None:
    """Nothing where it is gone, or is somebody else's; nothing either where another has taken its place."""
    earlier, later = ApiKeys(KEYS), ApiKeys([msgspec.structs.replace(KEYS[0], scopes=("read",)), *KEYS[2:]])
    ci, ops, none = (earlier.holder(f"tg_{name}") for name in ("ci", "ops", "none"))
    assert ci is not None
    assert ops is not None
    assert none is not None
    assert later.now(ci) == later.holder("tg_ci") != ci
    assert later.now(ops) is None
    assert later.now(none) == none
    assert ApiKeys([msgspec.structs.replace(KEYS[0], name="other")]).now(ci) is None
    assert ApiKeys([ApiKey(name="ci", sha256=key_sha256("tg_next"), scopes=("read",))]).now(ci) is None
    # The hash of another entry may be made to begin like this one's.
    alike = ApiKey(name="other", sha256=key_sha256("tg_ci")[:16] + "0" * 48, scopes=("read",))
    assert ApiKeys([*KEYS, alike]).now(ci) == ci


@pytest.mark.parametrize("presented", ["", "tg_c", "tg_cI", "tg_ci ", "\xff", "\ud800", KEYS[0].sha256])
def test_strangers(presented: str) -> None:
    """What is no key is nobody's, its hash included."""
    assert ApiKeys(KEYS).holder(presented) is None


@pytest.mark.parametrize(
    "entry",
    [
        {"name": "a b", "sha256": "0" * 64},
        {"name": "a", "sha256": "0" * 63},
        {"name": "a", "sha256": "0" * 64, "scopes": ["write"]},
        {"name": "a", "sha256": "0" * 64, "key": "x"},
    ],
)
def test_bad_entries(entry: dict[str, Any]) -> None:
    """An entry that could never match, or says what nobody understands, is refused with the configuration."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(entry, ApiKey)
