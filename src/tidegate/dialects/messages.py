"""The messages of a conversation, as both dialects have them: roles and names are read, all else is kept as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from tidegate.core.events import Message, Role
from tidegate.core.opaque import begins
from tidegate.core.steps import Pace, Steps
from tidegate.dialects.body import decode, shortened
from tidegate.dialects.fields import MAX_READ, Fields, check_kind, kind_of
from tidegate.errors import InvalidValue, UnknownField

MAX_MESSAGES = 10_000
"""The most messages of a conversation; reading more would block everybody else."""

NULL = msgspec.Raw(b"null")

LONGEST_TEXT = 26
"""The longest way to write `"text"` in JSON, with escapes alone, in bytes."""

_WITHOUT_CONTENT = ("assistant", "function")


class _Said(msgspec.Struct):
    role: Role
    name: str | None = None
    tool_call_id: str | None = None
    refusal: str | None = None


class _Part(msgspec.Struct):
    type: msgspec.Raw | UnsetType = UNSET
    text: msgspec.Raw | UnsetType = UNSET


class Conversation(NamedTuple):
    """The messages; `raw` has them as they came, if they have fields that `messages` has not."""

    messages: tuple[Message, ...]
    raw: tuple[msgspec.Raw, ...]


_KINDS = {
    "content": ("str", "array", "null"),
    "tool_calls": ("array", "null"),
    "audio": ("object", "null"),
    "function_call": ("object", "null"),
}
_READ = frozenset(_Said.__struct_fields__)
_KNOWN = _READ | _KINDS.keys()
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_said = msgspec.json.Decoder(_Said)
_part = msgspec.json.Decoder(_Part)


def conversation(fields: Fields, *, strict: bool) -> Steps[Conversation]:
    """Reads the member `messages`; if `strict`, unknown fields of messages are errors.

    Every message needs `content`, except those of assistants and functions. Raises `InvalidValue`, `UnknownField` or
    `InvalidJson`.
    """
    value = fields.required("messages")
    elements = yield from fields.elements_of(value, "messages", most=MAX_MESSAGES, counted=2)
    if not elements:
        raise InvalidValue("Expected `array` of length >= 1 at `messages`", param="messages")
    found: list[Message] = []
    pace, says_more = Pace(), False
    for index, element in enumerate(elements):
        if pace.is_over(len(element)):
            yield
        members = decode(_members, element, f"messages.{index}")
        if strict:
            _check_known(members, f"messages.{index}")
        says_more = says_more or not members.keys() <= _KNOWN or any(begins(each) == b"n" for each in members.values())
        found.append((yield from _message(fields, members, f"messages.{index}")))
    return Conversation(tuple(found), tuple(map(fields.own, elements)) if says_more and not strict else ())


def _check_known(members: Mapping[str, msgspec.Raw], place: str) -> None:
    for name in members:
        if name not in _KNOWN:
            raise UnknownField(f"unknown field `{shortened(name)}`", param=shortened(f"{place}.{name}"))


def _message(fields: Fields, members: Mapping[str, msgspec.Raw], place: str) -> Steps[Message]:
    read = msgspec.json.encode({name: value for name, value in members.items() if name in _READ})
    if len(read) > MAX_READ:
        raise InvalidValue(f"what is read of a message is longer than {MAX_READ} bytes at `{place}`", param=place)
    said = decode(_said, read, place)
    kept = {name: members[name] for name in _KINDS if name in members}
    for name, value in kept.items():
        check_kind(value, _KINDS[name], f"{place}.{name}")
    if kind_of(kept.get("content", NULL)) == "null" and said.role not in _WITHOUT_CONTENT:
        raise InvalidValue(f"{place} has no content", param=f"{place}.content")
    for name in ("content", "tool_calls"):
        if name in kept and kind_of(kept[name]) == "array":
            yield from _check_objects(fields, kept[name], f"{place}.{name}", parts=name == "content")
    yield
    owned: dict[str, Any] = {name: fields.own(value) for name, value in kept.items()}
    return Message(**msgspec.structs.asdict(said), **owned)


def _check_objects(fields: Fields, value: msgspec.Raw, place: str, *, parts: bool) -> Steps[None]:
    elements = yield from fields.elements_of(value, place, of="object")
    pace = Pace()
    for index, element in enumerate(elements if parts else ()):
        if pace.is_over(len(element)):
            yield
        _check_part(decode(_part, element, f"{place}.{index}"), f"{place}.{index}")


def _check_part(part: _Part, place: str) -> None:
    if part.type is UNSET or kind_of(part.type) != "str":
        raise InvalidValue(f"a content part has a `type`, at `{place}`", param=f"{place}.type")
    if part.text is not UNSET and kind_of(part.text) == "str":
        return
    if len(part.type) <= LONGEST_TEXT and msgspec.json.decode(part.type) == "text":
        raise InvalidValue(f"a part of type `text` has a text, at `{place}`", param=f"{place}.text")
