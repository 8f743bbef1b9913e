"""Tells the tool calls of one answer apart, and assembles them from their fragments. Pure.

A call is identified by its id. Servers number parallel calls all 0, or not at all, repeat id and name in every
fragment, or leave the id out; the output has one index for each call, and its id and name once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from tidegate.core import lenient_json
from tidegate.core.events import Extra, ToolCall
from tidegate.providers.openai.lasting import Lasting


class Fragment(NamedTuple):
    """A piece of a call as it was sent; missing fields are None or empty. `extra` has all other fields."""

    number: int | None
    id: str
    name: str
    arguments: str
    extra: Mapping[str, Any]


class Calls:
    """The calls of one answer. `make_id` makes ids for calls that come without one."""

    def __init__(self, make_id: Callable[[], str]) -> None:
        self._make_id = make_id
        self._by_id: dict[str, _Call] = {}
        self._by_place: dict[Hashable, _Call] = {}
        self._last: _Call | None = None
        self._count = 0

    def take(self, fragments: Iterable[Fragment]) -> list[ToolCall]:
        """The pieces to emit for these fragments; none for empty stubs."""
        told: list[ToolCall] = []
        sent = tuple(fragments)
        for position, fragment in enumerate(sent):
            if fragment.id or fragment.name or fragment.arguments or fragment.extra:
                call = self._call_of(fragment, position if len(sent) > 1 else None)
                self._last = call
                if (piece := self._told(call, fragment)) is not None:
                    told.append(piece)
        return told

    def end(self) -> list[ToolCall]:
        """The last pieces: halves of characters whose other half never came, and arguments of calls without a name."""
        told: list[ToolCall] = []
        for call in dict.fromkeys((*self._by_place.values(), *self._by_id.values())):
            left, call.half = "\ufffd" if call.half else "", ""
            if call.index >= 0 and left:
                told.append(ToolCall(call.index, arguments=left))
            elif call.index < 0 and (arguments := call.waiting + left) not in ("", "{}"):
                told.append(self._announced(call, arguments))
        return told

    def _call_of(self, fragment: Fragment, position: int | None) -> _Call:
        call = self._by_id.get(fragment.id)
        if call is not None and call.is_that_of(fragment):
            return call
        # Several fragments in one list without numbers are numbered by position; a single one continues the last call.
        place: Hashable = fragment.number
        if place is None and position is not None:
            place = ("place", position)
        call = self._last if place is None else self._by_place.get(place)
        if call is None or call.differs(fragment):
            call = _Call(fragment.number)
        if place is not None:
            self._by_place[place] = call
        if fragment.id:
            call.theirs.add(fragment.id)
            # An id that another call has already would not tell them apart.
            if self._by_id.setdefault(fragment.id, call) is call:
                call.id = call.id or fragment.id
        return call

    def _told(self, call: _Call, fragment: Fragment) -> ToolCall | None:
        new_name = fragment.name if not call.name else ""
        call.name = call.name or fragment.name
        arguments = call.add(fragment.arguments)
        extra = call.news(fragment.extra)
        if call.index >= 0:
            told = new_name or arguments or extra
            return ToolCall(call.index, None, new_name or None, arguments, _raw(extra)) if told else None
        call.held |= extra
        call.waiting += arguments
        # A call is announced only once it has a name: many servers begin with a stub.
        return self._announced(call, call.waiting) if call.name else None

    def _announced(self, call: _Call, arguments: str) -> ToolCall:
        call.index, self._count = self._count, self._count + 1
        call.id = call.id or self._make_id()
        return ToolCall(call.index, call.id, call.name or None, arguments, _raw(call.held))


class _Call:
    """The state of a call; `index` is below 0 until the call is announced to readers."""

    def __init__(self, number: int | None) -> None:
        self.index = -1
        self.id = ""
        self.theirs: set[str] = set()
        self.waiting = ""
        self.name = ""
        self.half = ""
        self.held: dict[str, Any] = {}
        self._number = number
        self._arguments: list[str] = []
        self._extra = Lasting()

    def add(self, arguments: str) -> str:
        """The arguments' next piece; half a character at its end is kept for the next one."""
        whole, self.half = lenient_json.whole_characters(self.half + arguments)
        self._arguments.append(whole)
        return whole

    def is_that_of(self, fragment: Fragment) -> bool:
        """Whether a fragment with this call's id belongs to it: a server may give all calls the same id."""
        alike = fragment.number is None or self._number is None or fragment.number == self._number
        return alike and (not self.name or fragment.name in ("", self.name))

    def differs(self, fragment: Fragment) -> bool:
        """Whether a fragment with an unknown id, at the position of this call, begins another call."""
        if fragment.id and self.theirs and fragment.id not in self.theirs:
            # A server that makes up a new id for every fragment names the call in the first one only.
            return bool(fragment.name) or not fragment.arguments
        if not fragment.name or not self.name:
            return False
        return fragment.name != self.name or (bool(fragment.arguments) and self._complete())

    def news(self, extra: Mapping[str, Any]) -> dict[str, Any]:
        """The fields whose values have changed."""
        return self._extra.news(extra)

    def _complete(self) -> bool:
        try:
            msgspec.json.decode("".join(self._arguments), type=dict)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return False
        return True


def _raw(extra: Mapping[str, Any]) -> Any:
    return Extra(call=msgspec.Raw(lenient_json.dumps(extra))) if extra else UNSET
