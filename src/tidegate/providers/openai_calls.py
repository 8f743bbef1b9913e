"""The tool calls of one answer, told apart and put together from their fragments. Pure.

A call is known by its id. Servers number parallel calls all 0, or not at all, repeat id and name in every fragment,
or leave the id out; what comes out has one index for each call, and its id and name once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from tidegate.core import lenient_json
from tidegate.core.events import Extra, ToolCall
from tidegate.providers.openai_lasting import Lasting


class Fragment(NamedTuple):
    """A piece of a call as it was sent; what was left out is None or empty. `extra` has its other fields."""

    number: int | None
    id: str
    name: str
    arguments: str
    extra: Mapping[str, Any]


class Calls:
    """`make_id` names the calls that come without an id."""

    def __init__(self, make_id: Callable[[], str]) -> None:
        self._make_id = make_id
        self._by_id: dict[str, _Call] = {}
        self._by_place: dict[Hashable, _Call] = {}
        self._last: _Call | None = None
        self._count = 0

    def take(self, fragments: Iterable[Fragment]) -> list[ToolCall]:
        """The fragments as they are told to readers; nothing for stubs that say nothing."""
        told: list[ToolCall] = []
        for position, fragment in enumerate(fragments):
            if fragment.id or fragment.name or fragment.arguments or fragment.extra:
                call = self._call_of(fragment, position)
                self._last = call
                if (piece := self._told(call, fragment)) is not None:
                    told.append(piece)
        return told

    def end(self) -> list[ToolCall]:
        """What is left: halves of characters whose other half never came."""
        waiting = {call.index: call for call in self._by_place.values() if call.half and call.index >= 0}
        return [ToolCall(index, arguments="\ufffd") for index in waiting]

    def _call_of(self, fragment: Fragment, position: int) -> _Call:
        if fragment.id in self._by_id:
            return self._by_id[fragment.id]
        # Several in one list without a number are numbered by their place; one alone goes on with the last.
        place: Hashable = fragment.number if fragment.number is not None else ("place", position)
        call = self._by_place.get(place)
        if call is None and fragment.number is None and position == 0:
            call = self._last
        if call is None or call.differs(fragment):
            call = _Call()
        self._by_place[place] = call
        if fragment.id:
            self._by_id[fragment.id] = call
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
        if not (call.name or arguments):
            return None
        call.index, self._count = self._count, self._count + 1
        call.id = call.id or self._make_id()
        return ToolCall(call.index, call.id, call.name or None, arguments, _raw(call.held))


class _Call:
    """What is known of a call; `index` is below 0 until readers are told of it."""

    def __init__(self) -> None:
        self.index = -1
        self.id = ""
        self.name = ""
        self.half = ""
        self.held: dict[str, Any] = {}
        self._arguments: list[str] = []
        self._extra = Lasting()

    def add(self, arguments: str) -> str:
        """The arguments' next piece, without the half of a character that its end may be."""
        whole, self.half = lenient_json.whole_characters(self.half + arguments)
        self._arguments.append(whole)
        return whole

    def differs(self, fragment: Fragment) -> bool:
        """Whether a fragment of an unknown id, at the place of this call, begins another one."""
        if fragment.id and self.id:
            # A server that makes up a new id for every fragment names the call in the first one only.
            return bool(fragment.name) or not fragment.arguments
        if not fragment.name or not self.name:
            return False
        return fragment.name != self.name or (bool(fragment.arguments) and self._complete())

    def news(self, extra: Mapping[str, Any]) -> dict[str, Any]:
        """Those fields that are not as they were said before."""
        return self._extra.news(extra)

    def _complete(self) -> bool:
        try:
            msgspec.json.decode("".join(self._arguments), type=dict)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return False
        return True


def _raw(extra: Mapping[str, Any]) -> Any:
    return Extra(call=msgspec.Raw(lenient_json.dumps(extra))) if extra else UNSET
