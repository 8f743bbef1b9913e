"""`tidegate tail`: follows a stream or a topic, across lost connections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tidegate.client import Client, InvalidRequest, Stream
from tidegate.client.paths import is_stream
from tidegate.client.terminal.connection_note import ConnectionNote
from tidegate.client.terminal.ends import text_in
from tidegate.client.terminal.printer import Printer
from tidegate.client.terminal.screen import Screen, standard_screen
from tidegate.client.terminal.server import in_use, server_url
from tidegate.client.words import as_table
from tidegate.errors import ConfigError


def follow(url: str, name: str, *, after: str | None, api_key: str) -> int:
    """Prints the text of a stream as it comes, until its end. Returns 0 if it completed, 1 if not. A topic has no end.

    Raises what the server refuses with, `UpstreamMalformed` where its answer cannot be read, and `ConfigError` where
    `url`, `api_key`, `name` or `after` cannot be used.
    """
    if not name:
        raise ConfigError("STREAM|TOPIC is empty: give a stream's id, or a topic's name")
    screen = standard_screen()
    shown = Tail(Client(server_url(url), api_key, attempts=None), name, after, screen)
    try:
        with in_use():
            shown.run()
    except KeyboardInterrupt:
        screen.leave()
        if shown.cursor:
            screen.say(f"to go on from here: --after {shown.cursor}")
        raise
    except InvalidRequest as error:
        if error.param in ("after", "topic"):
            raise ConfigError(error.message) from error
        raise
    finally:
        screen.leave()
    return shown.code


class Tail:
    """Shows a stream or a topic. `cursor` is the position after what was shown."""

    def __init__(self, client: Client, name: str, after: str | None, screen: Screen) -> None:
        self.cursor = after or ""
        self._client = client
        self._name = name
        self._after = after
        self._note = ConnectionNote(screen)
        self._printer = Printer(screen, is_rest=bool(after))
        self._hole: str | None = None

    @property
    def code(self) -> int:
        return self._printer.code

    def run(self) -> None:
        """Shows all of it, in the order in which it comes."""
        with self._opened() as stream:
            for event in stream:
                self._note.held()
                self._show(event.type, as_table(event.data))
                self.cursor = event.cursor
        if not self._printer.has_ended:
            self._printer.found(self._client.read(self._name))

    def _show(self, kind: str, data: Mapping[str, Any]) -> None:
        # The whole, which a stream shows after most gaps, leaves no hole.
        if self._hole is not None and kind != "snapshot":
            self._printer.missed(self._hole)
        self._hole = None
        if kind == "gap" and is_stream(self._name):
            self._hole = text_in(data, "to")
        elif kind == "gap":
            self._printer.missed(text_in(data, "to"))
        else:
            self._printer.show(kind, data)

    def _opened(self) -> Stream:
        if is_stream(self._name):
            return self._client.follow(self._name, self._after, on_state=self._note)
        return self._client.subscribe(self._name, self._after, on_state=self._note)
