"""`tidegate tail`: follows a stream or a topic, across lost connections."""

from __future__ import annotations

from tidegate.client import Client, Stream
from tidegate.client.paths import is_stream
from tidegate.client.terminal.connection_note import ConnectionNote
from tidegate.client.terminal.printer import Printer
from tidegate.client.terminal.screen import standard_screen
from tidegate.client.terminal.server import in_use, server_url
from tidegate.client.words import as_table


def follow(url: str, name: str, *, after: str | None, api_key: str) -> int:
    """Prints the text of a stream as it comes, until its end. Returns 0 if it completed, 1 if not. A topic has no end.

    Raises what the server refuses with, `UpstreamMalformed` where its answer cannot be read, and `ConfigError` where
    `url` or `api_key` cannot be used.
    """
    screen = standard_screen()
    printer, note = Printer(screen), ConnectionNote(screen)
    client, cursor = Client(server_url(url), api_key, attempts=None), after or ""
    try:
        with in_use(), _opened(client, name, after, note) as stream:
            for event in stream:
                cursor = event.cursor
                note.held()
                printer.show(event.type, as_table(event.data))
    except KeyboardInterrupt:
        screen.leave()
        if cursor:
            screen.say(f"to go on from here: --after {cursor}")
        raise
    finally:
        screen.leave()
    return printer.code


def _opened(client: Client, name: str, after: str | None, note: ConnectionNote) -> Stream:
    if is_stream(name):
        return client.follow(name, after, on_state=note)
    return client.subscribe(name, after, on_state=note)
