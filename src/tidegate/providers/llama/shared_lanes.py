"""The lanes of a model that another process of this machine runs, by a connection to its `LaneHost` for each turn."""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec

from tidegate.errors import ConfigError, ProviderCrashed, ProviderError
from tidegate.providers.llama.lane_words import (
    Again,
    Answering,
    Asking,
    Attend,
    Died,
    Enter,
    Granted,
    Lane,
    Leave,
    NotRunning,
    Telling,
    line,
)
from tidegate.providers.llama.lanes import Answers, Llama
from tidegate.providers.llama.upstream import upstream_at
from tidegate.providers.openai.provider import OpenAIProvider
from tidegate.providers.settings import SharedLlamaModel

DEATH_SECONDS = 1.0
"""How long after a broken connection the end of the process may come, if that broke it."""

_WORD = msgspec.json.Decoder(Telling)


class SharedLanes:
    """The `Lanes` to the processes of a host. Requests and answers do not go through it, only turns do."""

    def __init__(self, model: SharedLlamaModel) -> None:
        self._model = model
        self._upstreams: dict[Lane, tuple[str, OpenAIProvider]] = {}
        self._attendance: StreamWriter | None = None

    async def start(self) -> None:
        """Has the host keep the model until `close`. Nothing is to be loaded: it has done that before it was known.

        Raises `ConfigError` where it has given the model up meanwhile, since the settings are others now.
        """
        try:
            _, self._attendance = await self._connect()
        except ProviderCrashed as error:
            raise ConfigError(f"model {self._model.name!r}: {error.message}") from error
        self._attendance.write(line(Attend(self._model.key)))

    async def plain(self, ask: Callable[[Llama, Answers], Awaitable[bool]]) -> None:
        async with self._turn("plain") as turn:
            while not await ask(await turn.granted(), turn.answers):
                turn.say(Again())
            turn.say(Leave())

    async def shaped(self, ask: Callable[[Llama], Awaitable[None]]) -> bool:
        async with self._turn("shaped") as turn:
            llama = await turn.granted()
            try:
                await ask(llama)
            except ProviderError:
                await llama.died_within(DEATH_SECONDS)
                if llama.stuck:
                    return False
                raise
            turn.say(Leave())
        return True

    async def close(self) -> None:
        if self._attendance is not None:
            self._attendance.close()
        for _, upstream in self._upstreams.values():
            await upstream.close()

    @asynccontextmanager
    async def _turn(self, lane: Lane) -> AsyncGenerator[_Turn]:
        reader, writer = await self._connect()
        turn = _Turn(reader, writer, lambda granted: self._upstream(lane, granted))
        turn.say(Enter(self._model.key, self._model.name, lane))
        try:
            yield turn
        finally:
            turn.close()

    async def _connect(self) -> tuple[StreamReader, StreamWriter]:
        try:
            return await asyncio.open_connection("127.0.0.1", self._model.port)
        except OSError as error:
            raise ProviderCrashed(f"The model's process is not reached: {error.strerror or error}.") from error

    async def _upstream(self, lane: Lane, granted: Granted) -> OpenAIProvider:
        """The provider for this process; that of the one before it is not needed any more."""
        address, upstream = self._upstreams.get(lane, ("", None))
        if upstream is None or address != granted.address:
            if upstream is not None:
                await upstream.close()
            upstream = await upstream_at(granted.address, granted.api_key, self._model.name)
            self._upstreams[lane] = (granted.address, upstream)
        return upstream


class SharedLlama:
    """A process of the host that was granted; a `Llama`. `stuck` says that it was ended for that."""

    def __init__(self, upstream: OpenAIProvider) -> None:
        self.upstream = upstream
        self.death: str | None = None
        self.stuck = False
        self._dead = asyncio.Event()

    def die(self, death: str, *, stuck: bool) -> None:
        self.death, self.stuck = death, stuck
        self._dead.set()

    async def died_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._dead.wait()
        except TimeoutError:
            return False
        return True


class _Turn:
    """One generation's connection to the host."""

    def __init__(
        self, reader: StreamReader, writer: StreamWriter, upstream: Callable[[Granted], Awaitable[OpenAIProvider]]
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._upstream = upstream
        self._watching: asyncio.Task[None] | None = None
        self._is_answering = False

    def say(self, word: Asking) -> None:
        self._writer.write(line(word))

    def answers(self) -> None:
        """Says that the answer has begun. Harmless when repeated."""
        if not self._is_answering:
            self._is_answering = True
            self.say(Answering())

    async def granted(self) -> SharedLlama:
        """Waits for the turn. Raises `ProviderCrashed` where there is no process."""
        if self._watching is not None:
            await self._watching
        word = await self._hear()
        if isinstance(word, NotRunning):
            raise ProviderCrashed(word.message)
        if not isinstance(word, Granted):
            raise ProviderCrashed("The model's process is not running: its parent has gone.")
        llama = SharedLlama(await self._upstream(word))
        self._watching = asyncio.create_task(self._watch(llama))
        return llama

    def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
        self._writer.close()

    async def _watch(self, llama: SharedLlama) -> None:
        word = await self._hear()
        if isinstance(word, Died):
            llama.die(word.death, stuck=word.stuck)
        elif word is None:
            llama.die("its parent", stuck=False)

    async def _hear(self) -> Telling | None:
        """The next word; None where the host is gone."""
        try:
            said = await self._reader.readline()
        except OSError:
            return None
        return _WORD.decode(said) if said else None
