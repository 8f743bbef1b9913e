"""Accumulates JSON fields that come in pieces, as OpenAI's own SDKs do. Pure; takes time linear in the pieces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from tidegate.core.lenient_json import as_list, as_object

REPLACED = frozenset({"id", "index", "type", "name", "role", "format"})
"""Fields whose text is repeated as a whole, not sent in pieces."""


class Text:
    """A text that is accumulated from pieces."""

    def __init__(self, first: str) -> None:
        self.pieces = [first]


class Items:
    """An array that is accumulated: an item with the index of an earlier one is added to that one."""

    def __init__(self) -> None:
        self.items: list[object] = []
        self._places: dict[int, int] = {}

    def add(self, item: object) -> None:
        number = as_object(item).get("index")
        if not isinstance(number, int):
            self.items.append(begun(item))
        elif number in self._places:
            place = self._places[number]
            self.items[place] = added(self.items[place], item)
        else:
            self._places[number] = len(self.items)
            self.items.append(begun(item))


def begun(value: object) -> object:
    """Starts an accumulated value with this JSON value."""
    if isinstance(value, str):
        return Text(value)
    if isinstance(value, list):
        items = Items()
        for item in as_list(cast("object", value)):
            items.add(item)
        return items
    if isinstance(value, dict):
        fields = as_object(cast("object", value))
        return {name: each if name in REPLACED else begun(each) for name, each in fields.items()}
    return value


def added(known: object, more: object) -> object:
    """The accumulated value with one more JSON value; a value of another kind replaces it, null changes nothing."""
    if more is None:
        return known
    if isinstance(known, Text) and isinstance(more, str):
        known.pieces.append(more)
    elif isinstance(known, Items) and isinstance(more, list):
        for item in as_list(cast("object", more)):
            known.add(item)
    elif isinstance(known, dict) and isinstance(more, dict):
        add_fields(cast("dict[str, object]", known), as_object(cast("object", more)))
    else:
        return begun(more)
    return cast("object", known)


def add_fields(known: dict[str, object], more: Mapping[str, object]) -> None:
    """Adds the fields of one more object, each as `added` does."""
    for name, value in more.items():
        known[name] = value if name in REPLACED else added(known.get(name), value)


def told(known: object) -> object:
    """The accumulated value as a JSON value."""
    if isinstance(known, Text):
        return "".join(known.pieces)
    if isinstance(known, Items):
        return [told(item) for item in known.items]
    if isinstance(known, dict):
        return {name: told(value) for name, value in cast("dict[str, object]", known).items()}
    return known
