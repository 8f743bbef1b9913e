"""An upstream that behaves as the row does whose name is the prompt."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from behaviour import QUESTION, Behaviour

from tidegate.testing.upstream import read_request


class RowUpstream:
    """`asked` counts the requests for each row. The prompt is the row's name and `QUESTION`."""

    def __init__(self, rows: Mapping[str, Behaviour]) -> None:
        self.asked: Counter[str] = Counter()
        self.url = ""
        self._rows = rows

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = json.loads((await read_request(reader)).body)
            name = request["messages"][0]["content"].removesuffix(QUESTION)
            self.asked[name] += 1
            reply = self._rows[name].reply
            writer.write(reply if isinstance(reply, bytes) else reply(request))
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def upstream(rows: Mapping[str, Behaviour]) -> AsyncIterator[RowUpstream]:
    """Plays the rows on loopback."""
    played = RowUpstream(rows)
    server = await asyncio.start_server(played.answer, "127.0.0.1", 0)
    played.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield played
    finally:
        server.close()
        await server.wait_closed()
