"""Lets other processes of this machine use a model's lanes, so that one process runs each model for all of them."""

from __future__ import annotations

import asyncio
import logging
import secrets
from asyncio import FIRST_COMPLETED, StreamReader, StreamWriter
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from tidegate.errors import ProviderCrashed
from tidegate.providers.llama.lane_words import (
    Again,
    Answering,
    Asking,
    Attend,
    Died,
    Enter,
    Granted,
    Lane,
    LanePlace,
    Leave,
    NotRunning,
    Telling,
    line,
)
from tidegate.providers.llama.lanes import Answers, OwnLanes
from tidegate.providers.llama.process import LlamaProcess
from tidegate.providers.settings import LlamaModel

ENTER_SECONDS = 5.0
"""How long a connection may say nothing: any program of this machine can open one."""

logger = logging.getLogger("tidegate.llama")

_WORD = msgspec.json.Decoder(Asking)


class LaneHost:
    """Runs the models, and listens on loopback for processes that have its key."""

    def __init__(self, models: Sequence[LlamaModel]) -> None:
        self.lanes = {model.name: OwnLanes(model) for model in models}
        self._key = secrets.token_urlsafe(32)
        self._server: asyncio.Server | None = None
        self._visits: set[asyncio.Task[None]] = set()
        self._attending = 0
        self._deserted = asyncio.Event()
        self._deserted.set()

    async def start(self) -> LanePlace:
        """Returns when all models take requests. Raises `ConfigError`."""
        await asyncio.gather(*(lanes.start() for lanes in self.lanes.values()))
        self._server = await asyncio.start_server(self._visit, "127.0.0.1", 0)
        return LanePlace(self._server.sockets[0].getsockname()[1], self._key)

    async def deserted(self) -> None:
        """Waits until no process attends that could want a turn."""
        await self._deserted.wait()

    async def close(self) -> None:
        """Ends the models."""
        if self._server is not None:
            self._server.close()
        for visit in self._visits:
            visit.cancel()
        await asyncio.gather(*self._visits, return_exceptions=True)
        await asyncio.gather(*(lanes.close() for lanes in self.lanes.values()))

    def _visit(self, reader: StreamReader, writer: StreamWriter) -> None:
        visit = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._visits.add(visit)
        visit.add_done_callback(self._visits.discard)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            word = await _first(reader)
            if word is None or not secrets.compare_digest(word.key.encode(), self._key.encode()):
                return
            if isinstance(word, Attend):
                await self._attended(reader)
            else:
                await _Visit(reader, writer).use(self.lanes[word.model], word.lane)
        except Exception:
            logger.exception("a turn of another process failed")
        finally:
            writer.close()

    async def _attended(self, reader: StreamReader) -> None:
        self._attending += 1
        self._deserted.clear()
        try:
            with suppress(OSError):
                await reader.read()
        finally:
            self._attending -= 1
            if not self._attending:
                self._deserted.set()


async def _first(reader: StreamReader) -> Attend | Enter | None:
    """The first word; None where it is not understood, or does not come."""
    try:
        async with asyncio.timeout(ENTER_SECONDS):
            word: Asking = _WORD.decode(await reader.readline())
    except (OSError, ValueError, TimeoutError):
        return None
    return word if isinstance(word, Attend | Enter) else None


class _Visit:
    """One generation of another process."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._answers: Answers = _nothing
        self._words: asyncio.Queue[Again | Leave] = asyncio.Queue(1)
        self._left = False

    async def use(self, lanes: OwnLanes, lane: Lane) -> None:
        """Returns when the other has left; whatever it had is given back."""
        using = asyncio.create_task((self._plain if lane == "plain" else self._shaped)(lanes))
        hearing = asyncio.create_task(self._hear())
        try:
            await asyncio.wait((using, hearing), return_when=FIRST_COMPLETED)
            if self._left or using.done():
                await using
        finally:
            for task in (using, hearing):
                task.cancel()
            await asyncio.gather(using, hearing, return_exceptions=True)

    async def _hear(self) -> None:
        """Hears words until the other leaves, or is gone."""
        while not self._left and (said := await self._reader.readline()):
            word: Asking = _WORD.decode(said)
            if isinstance(word, Answering):
                self._answers()
            elif isinstance(word, Again | Leave):
                self._left = isinstance(word, Leave)
                self._words.put_nowait(word)

    async def _plain(self, lanes: OwnLanes) -> None:
        async def ask(llama: LlamaProcess, answers: Answers) -> bool:
            self._answers = answers
            self._tell(Granted(llama.address, llama.api_key))
            word = await self._word(llama)
            if word is None:
                self._tell(Died(llama.death or ""))
                word = await self._words.get()
            return isinstance(word, Leave)

        try:
            await lanes.plain(ask)
        except ProviderCrashed as error:
            self._tell(NotRunning(error.message))

    async def _shaped(self, lanes: OwnLanes) -> None:
        granted: list[LlamaProcess] = []

        async def ask(llama: LlamaProcess) -> None:
            granted.append(llama)
            self._tell(Granted(llama.address, llama.api_key))
            if await self._word(llama) is None:
                raise ProviderCrashed(f"The model's process died with {llama.death}.")

        try:
            stuck = not await lanes.shaped(ask)
        except ProviderCrashed as error:
            self._tell(Died(granted[0].death or "") if granted else NotRunning(error.message))
        else:
            if stuck:
                self._tell(Died(granted[0].death or "", stuck=True))

    async def _word(self, llama: LlamaProcess) -> Again | Leave | None:
        """The next word; None where the process dies before it comes."""
        word = asyncio.create_task(self._words.get())
        death = asyncio.create_task(llama.died())
        try:
            await asyncio.wait((word, death), return_when=FIRST_COMPLETED)
            return word.result() if word.done() else None
        finally:
            word.cancel()
            death.cancel()

    def _tell(self, word: Telling) -> None:
        self._writer.write(line(word))


def _nothing() -> None:
    return
