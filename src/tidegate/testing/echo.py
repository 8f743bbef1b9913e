"""A WebSocket echo server on the product's protocol classes: `python -m tidegate.testing.echo --port N`.

Conformance suites, such as Autobahn's, are run against it.
"""

from __future__ import annotations

import asyncio
import sys

import click
import uvloop
from starlette.types import Receive, Scope, Send

from tidegate.config import Changes, LimitSettings, ServerSettings, Settings
from tidegate.errors import TidegateError
from tidegate.observe.base import Observer
from tidegate.observe.logging import LoggingObserver, configure
from tidegate.server import serve

MAX_MESSAGE_BYTES = 16 * 1024 * 1024


class Echo:
    """Sends every message back as it came, text or binary, at any path."""

    observer: Observer = LoggingObserver()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await echo(receive, send)
        else:
            await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})

    async def start(self) -> None:
        pass

    async def reload(self, settings: Settings) -> Changes:
        return Changes()

    async def drain(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def flush(self) -> None:
        pass


async def echo(receive: Receive, send: Send) -> None:
    """Echoes the messages of one socket until it is closed."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


@click.command()
@click.option("--port", type=int, required=True)
@click.option("--host", default="127.0.0.1", show_default=True)
def main(port: int, host: str) -> None:
    """Serves the echo until it is told to stop."""
    configure("warning", "auto")
    settings = Settings(
        server=ServerSettings(host=host, port=port), limits=LimitSettings(max_message_bytes=MAX_MESSAGE_BYTES)
    )
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            sys.exit(runner.run(serve(Echo(), settings)))
    except TidegateError as error:
        raise click.ClickException(error.message) from error


if __name__ == "__main__":
    main()
