from __future__ import annotations

import re
from pathlib import Path

import pytest

from tidegate.errors import ConfigError
from tidegate.providers.keys import MAX_KEY_BYTES, keys_of
from tidegate.providers.settings import OpenAIModel, ReplayModel, Upstream

URL = "http://127.0.0.1:9/v1"


def model(path: Path) -> OpenAIModel:
    return OpenAIModel(name="m", base_url=URL, api_key_file=str(path))


@pytest.mark.parametrize("content", [b"sk-1", b"sk-1\n", b"sk-1\r\n", b"\xef\xbb\xbfsk-1\n", b"  sk-1  \n\n"])
def test_what_is_around_a_key_in_a_file_is_no_part_of_it(tmp_path: Path, content: bytes) -> None:
    """Editors end files with a line break, and some begin them with a byte order mark."""
    (tmp_path / "key").write_bytes(content)
    assert keys_of(model(tmp_path / "key"), {}) == ("sk-1",)


def test_a_file_is_read_each_time(tmp_path: Path) -> None:
    """Also where it was replaced by a link to another one, as Kubernetes does."""
    for key in ("one", "two"):
        (tmp_path / key).write_text(key)
    link = tmp_path / "key"
    link.symlink_to(tmp_path / "one")
    assert keys_of(model(link), {}) == ("one",)
    (tmp_path / "next").symlink_to(tmp_path / "two")
    (tmp_path / "next").rename(link)
    assert keys_of(model(link), {}) == ("two",)


def test_each_upstream_has_its_own(tmp_path: Path) -> None:
    """From a file, a variable, or none at all; a model without upstreams has no keys."""
    (tmp_path / "key").write_text("from-file")
    upstreams = (
        Upstream(base_url=URL, api_key_file=str(tmp_path / "key")),
        Upstream(base_url=URL),
        Upstream(base_url=URL, api_key_env="KEY"),
    )
    found = OpenAIModel(name="m", upstreams=upstreams)
    assert keys_of(found, {"KEY": "from-variable"}) == ("from-file", "", "from-variable")
    assert [each.api_key_file for each, _ in found.by_upstream()] == [str(tmp_path / "key"), "", ""]
    assert keys_of(ReplayModel(name="r"), {}) == ()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "No such file"),
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b"canary one", "cannot stand in a header"),
        (b"canary\nx: y", "cannot stand in a header"),
        ("canary\u00e9".encode(), "cannot stand in a header"),
        (b"canary\xff", "cannot stand in a header"),
        (b"canary" * MAX_KEY_BYTES, "is no key"),
    ],
)
def test_what_is_no_key_is_said_without_it(tmp_path: Path, content: bytes | None, problem: str) -> None:
    """The error has the key of the setting, and nothing of what the file holds."""
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    with pytest.raises(ConfigError, match=problem) as caught:
        keys_of(model(tmp_path / "key"), {})
    assert caught.value.key == ("models", "m", "api_key_file")
    assert "canary" not in caught.value.message


def test_a_file_that_is_not_there_is_said_to_have_been_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In which folder, where the path does not say so itself: it counts from where the server was started."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=re.escape(f"No such file or directory; it was looked for in {tmp_path}")):
        keys_of(model(Path("keys/openai")), {})
    with pytest.raises(ConfigError, match=r"No such file or directory$"):
        keys_of(model(tmp_path / "keys"), {})


def test_a_pipe_is_not_read() -> None:
    """It would be empty, or never end, when it is read again."""
    with pytest.raises(ConfigError, match="it is no file"):
        keys_of(model(Path("/dev/null")), {})
