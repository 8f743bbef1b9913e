from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import msgspec
import pytest

from tidegate.core.steps import finished
from tidegate.dialects import native, native_topic
from tidegate.dialects.identity import READ_BYTES, identity
from tidegate.dialects.native_producer import OpenStream


def identity_of(body: bytes) -> bytes:
    return finished(identity(finished(native.parse(body))))


BODY = {
    "model": "m",
    "messages": [{"role": "user", "content": "é"}, {"role": "user", "content": [{"type": "text", "text": "x"}]}],
    "tools": [{"a": 1, "b": [None, True]}],
    "extra": {"y": 1.5, "x": {}},
    "metadata": {"k": "v"},
}


def test_the_same_body_is_the_same_however_it_is_written() -> None:
    """White space, order and escapes tell nothing apart, not in what is only passed on either."""
    turned = json.loads(json.dumps(BODY), object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    written = [json.dumps(BODY), json.dumps(BODY, ensure_ascii=False, indent=2), json.dumps(turned)]
    assert len({identity_of(text.encode()) for text in written}) == 1


@pytest.mark.parametrize(
    "changes",
    [{"model": "n"}, {"tools": [{"a": 2}]}, {"extra": {"y": 1}}, {"messages": [{"role": "user", "content": "è"}]}],
)
def test_another_body_is_another(changes: dict[str, Any]) -> None:
    """Each part counts."""
    assert identity_of(json.dumps({**BODY, **changes}).encode()) != identity_of(json.dumps(BODY).encode())


def test_a_key_that_an_earlier_version_has_kept_is_known() -> None:
    """The digest is that of the body's JSON in order, with what was not given as null."""
    plain = b'{"metadata":{"k":"v"},"producer":"client"}'
    assert finished(identity(OpenStream(producer="client", metadata={"k": "v"}))) == sha256(plain).digest()
    published = native_topic.identity_of("message", False, msgspec.Raw(b'{"b":1,"a":"\\u00e9"}'))
    assert finished(published) == sha256('["message",false,{"a":"é","b":1}]'.encode()).digest()


def test_of_what_is_long_white_space_tells_nothing_apart() -> None:
    """It is not made into objects for that; its order counts."""
    long = {"a": "x" * READ_BYTES, "b": 1}
    one, other = (finished(identity([msgspec.Raw(json.dumps(long, indent=n).encode())])) for n in (None, 3))
    assert one == other
