"""`tidegate streams`: lists the caller's streams."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from typing import Any

from tidegate.client import Client, TidegateError
from tidegate.client.terminal.ends import text_in
from tidegate.client.terminal.screen import Screen, standard_screen
from tidegate.client.terminal.server import in_use, server_url
from tidegate.client.terminal.stream_rows import line, row, words
from tidegate.client.words import as_list, as_table
from tidegate.core.visible import visible_json

PAGE = 100
"""The most that a server lists at once."""

GLANCES = 20
"""How many streams are asked for their words, which may be long, where the list does not say them."""

Stream = Mapping[str, Any]


def run(url: str, api_key: str, *, status: str | None, limit: int, as_json: bool) -> int:
    """Prints the newest streams; returns the exit code. Raises `TidegateError`, a `ConfigError` for a wrong URL."""
    place = server_url(url)
    screen = standard_screen()
    with in_use(), Client(place, api_key, attempts=0) as client:
        listed = Listed(client, status, limit)
        if as_json:
            _print(screen, map(visible_json, listed))
        elif screen.is_terminal:
            _print(screen, _rows(listed, Client(place, api_key, attempts=1)))
        else:
            _print(screen, map(line, listed))
    if listed.count == 0:
        screen.say(f"{place} has no streams of yours" + (f" that are {status}" if status else ""))
    elif listed.has_more and screen.has_notes:
        screen.say(f"there are older ones: --limit {limit * 2} shows more")
    return 0


class Listed:
    """The newest streams, as they are listed page by page. `count` and `has_more` hold once all were taken."""

    def __init__(self, client: Client, status: str | None, limit: int) -> None:
        self.count = 0
        self.has_more = True
        self._client = client
        self._status = status
        self._limit = limit

    def __iter__(self) -> Iterator[Stream]:
        before = None
        while self.has_more and self.count < self._limit:
            page = self._client.list(min(self._limit - self.count, PAGE), before, self._status)
            streams = [as_table(each) for each in as_list(page.get("data"))]
            yield from streams
            self.count += len(streams)
            before = text_in(streams[-1], "id") if streams else None
            self.has_more = bool(before) and page.get("has_more") is True


def _rows(listed: Listed, client: Client) -> Iterator[str]:
    """Two lines for each stream. A list has short questions; some others are asked for as they are shown."""
    columns, glances = shutil.get_terminal_size().columns, iter(range(GLANCES))
    for stream in listed:
        yield row(stream, time.time(), columns)
        said = words(stream, columns)
        if not said and next(glances, None) is not None:
            said = words(_snapshot(client, text_in(stream, "id")), columns)
        if said:
            yield said


def _snapshot(client: Client, id: str) -> Stream:
    try:
        return client.read(id)
    except TidegateError:
        # It may have been forgotten meanwhile, and its row says enough.
        return {}


def _print(screen: Screen, lines: Iterator[str]) -> None:
    for each in lines:
        screen.text(f"{each}\n")
