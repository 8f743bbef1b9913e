"""The calls of tools in an answer, put together from their fragments. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tidegate.client.terminal.ends import text_in


class ToolCalls:
    """The calls of one answer that have begun and were not taken yet."""

    def __init__(self) -> None:
        self._calls: dict[object, dict[str, str]] = {}

    def add(self, fragment: Mapping[str, Any]) -> None:
        """Adds the data of a `tool_call` event."""
        call = self._calls.setdefault(str(fragment.get("index")), {"name": "", "arguments": ""})
        call["name"] = call["name"] or text_in(fragment, "name")
        call["arguments"] += text_in(fragment, "arguments")

    def take(self) -> list[str]:
        """Each call as a line; there are none afterwards."""
        calls, self._calls = self._calls, {}
        return [f"the model calls {call['name'] or 'a tool'}({call['arguments']})" for call in calls.values()]
