"""What settings that are read again change, and what they do not."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tidegate.config import AuthSettings, ServerSettings, ServeSource, Settings, StoreSettings
from tidegate.config.changes import Changes, ignored, key_changes, merged
from tidegate.core.difference import Difference
from tidegate.errors import ConfigError
from tidegate.gate.api_keys import ApiKey
from tidegate.providers.settings import ReplayModel

A, B = (ApiKey(name=name, sha256=name * 64, scopes=("read",)) for name in "ab")
RUNNING = Settings(models=(ReplayModel(name="m"),), auth=AuthSettings(keys=(A,)))


def test_models_and_keys_are_taken_over_and_nothing_else() -> None:
    """What else differs is named by its key; a value may be a secret."""
    auth = AuthSettings(keys=(A, B), issuer="https://id.example.com")
    server = ServerSettings(port=9, allowed_hosts=("x",))
    later = Settings(models=(ReplayModel(name="n"),), auth=auth, server=server, store=StoreSettings(url="memory://"))
    found = merged(RUNNING, later)
    assert found == msgspec.structs.replace(RUNNING, models=later.models, auth=AuthSettings(keys=(A, B)))
    assert key_changes(RUNNING, later) == Difference(added=("b",))
    assert ignored(RUNNING, later) == ("server.port", "server.allowed_hosts", "store.url", "auth.issuer")
    assert ignored(RUNNING, found) == ()


def test_a_server_that_asks_who_is_there_goes_on_to_ask() -> None:
    """The last key may only go where tokens are checked, too."""
    without = msgspec.structs.replace(RUNNING, auth=AuthSettings())
    with pytest.raises(ConfigError, match="the last key is gone") as caught:
        merged(RUNNING, without)
    assert caught.value.key == ("auth", "keys")
    assert merged(without, RUNNING) == RUNNING
    issued = msgspec.structs.replace(RUNNING, auth=AuthSettings(keys=(A,), jwks_url="https://id.example.com/jwks"))
    assert merged(issued, without).auth == msgspec.structs.replace(issued.auth, keys=())


def test_one_line_says_what_has_changed() -> None:
    """By name, and nothing of what the names stand for."""
    changes = Changes(models=Difference(("a", "b"), ("c",)), keys=Difference(removed=("ci",)))
    assert str(changes) == "models added: a, b; models changed: c; keys removed: ci"
    assert str(Changes()) == "no model and no key has changed"


def test_the_same_sources_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file, the environment and the flags; a file that was there is missed, also where nobody named it."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "tidegate.toml"
    file.write_text('[[models]]\nname = "m"\nprovider = "replay"\n')
    environ = {"TIDEGATE_STORE__URL": "memory://"}
    source = ServeSource(None, environ, {"server.port": 9, "server.host": None})
    before = source.read()
    assert (before.server.port, before.store.url) == (9, "memory://")
    assert source.read() == before
    file.write_text('[server]\nport = 8\n[[models]]\nname = "n"\nprovider = "replay"\n')
    environ["TIDEGATE_SERVER__DRAIN_SECONDS"] = "1"
    after = source.read()
    assert (after.models[0].name, after.server.port, after.server.drain_seconds) == ("n", 9, 1)
    file.unlink()
    with pytest.raises(ConfigError, match=r"^tidegate\.toml: No such file"):
        source.read()


def test_a_file_that_was_made_later_is_read_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And missed from then on."""
    monkeypatch.chdir(tmp_path)
    source = ServeSource(None, {"TIDEGATE_STORE__URL": "memory://"}, {})
    assert source.read().models[0].name == "smollm2"
    Path("tidegate.toml").write_text('[[models]]\nname = "m"\nprovider = "replay"\n')
    assert source.read().models[0].name == "m"
    Path("tidegate.toml").unlink()
    with pytest.raises(ConfigError, match="No such file"):
        source.read()
