"""One node of several: an application on a thread of its own, which can be killed, stopped and told to leave."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import Future
from urllib.parse import urlsplit

import msgspec

from tidegate import Tidegate
from tidegate.config import Settings
from tidegate.providers.settings import PythonModel
from tidegate.testing.server import serving

from .forks import ServerFailed
from .inside.chaos_target import awaited, threaded
from .server import LEAVE_SECONDS, START_SECONDS, UNHANDLED
from .shared_store import NodeStore, SharedStore

MODELS = {"python-awaited": awaited, "python-threaded": threaded}

CLEANING_ROUNDS = 5


class Node:
    """At most one life at a time; it has what `Server` has, but for a disk and a clock of its own."""

    def __init__(self, shared: SharedStore, settings: Settings) -> None:
        models = tuple(model for model in settings.models if not isinstance(model, PythonModel))
        self._settings = msgspec.structs.replace(settings, models=models)
        self._shared = shared
        self._lives: list[_Life] = []
        self._log = _Log()
        logging.getLogger().addHandler(self._log)

    @property
    def port(self) -> int | None:
        return self._lives[-1].port if self._lives else None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def filled(self) -> list[str]:
        """The streams that it fills."""
        return [live.stream for live in self._lives[-1].app.service.node.live]

    async def start(self) -> None:
        """Begins a life and waits until it is ready. Raises `ServerFailed`."""
        life = _Life(self._shared, self._settings)
        self._log.threads.add(life.thread.name)
        try:
            async with asyncio.timeout(START_SECONDS):
                life.port = await asyncio.wrap_future(life.ready)
        except Exception as error:
            raise ServerFailed(f"not ready: {error!r}") from error
        self._lives.append(life)

    async def kill(self) -> None:
        """It is gone at once: nothing of it reaches the store or a client any more. Also while it is stopped."""
        life = self._lives[-1]
        self._log.threads.discard(life.thread.name)
        life.die()

    async def leave(self) -> int:
        """It drains: 0. Raises `ServerFailed` when it does not leave."""
        life = self._lives[-1]
        life.leave()
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                await asyncio.wrap_future(life.over)
        except TimeoutError:
            raise ServerFailed(f"did not leave within {LEAVE_SECONDS:g} s") from None
        finally:
            life.port = None
        return 0

    def stop(self) -> None:
        """Its loop runs nothing until it goes on."""
        self._lives[-1].stop()

    def go_on(self) -> None:
        self._lives[-1].going.set()

    async def close(self) -> None:
        if self._lives and self.port is not None:
            await self.kill()
        async with asyncio.timeout(LEAVE_SECONDS):
            await asyncio.gather(*(asyncio.wrap_future(life.over) for life in self._lives))
        logging.getLogger().removeHandler(self._log)

    def unhandled(self) -> list[str]:
        """What its lives have logged of errors that nobody has dealt with."""
        return [line for line in self._log.lines if UNHANDLED.search(line)]

    def tail(self) -> str:
        return " | ".join(self._log.lines[-12:])


class _Life:
    """From start to death; `ready` is done with its port, `over` when its thread has nothing left to do."""

    def __init__(self, shared: SharedStore, settings: Settings) -> None:
        self.port: int | None = None
        self.ready: Future[int] = Future()
        self.over: Future[None] = Future()
        self.going = threading.Event()
        self.app: Tidegate
        self._settings = settings
        self._store = NodeStore(shared)
        self._loop = asyncio.new_event_loop()
        self._leaving = asyncio.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def die(self) -> None:
        self.port = None
        self._store.link.cut()
        self._loop.call_soon_threadsafe(self._drop)
        self.going.set()

    def leave(self) -> None:
        self._loop.call_soon_threadsafe(self._leaving.set)

    def stop(self) -> None:
        self.going = threading.Event()
        self._loop.call_soon_threadsafe(self.going.wait)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._serving = self._loop.create_task(self._serve())
        try:
            self._loop.run_until_complete(asyncio.wait((self._serving,)))
            self._clean()
        finally:
            self._loop.close()
            self.over.set_result(None)

    async def _serve(self) -> None:
        try:
            self.app = Tidegate(self._settings, models=MODELS, store=self._store)  # type: ignore[arg-type]
            await self.app.start()
            async with serving(self.app) as url:
                self.ready.set_result(urlsplit(url).port or 0)
                await self._leaving.wait()
                await self.app.drain()
            await self.app.close()
        except Exception as error:
            if not self.ready.done():
                self.ready.set_exception(error)
            raise

    def _drop(self) -> None:
        """The kernel would close what is open."""
        for transport in tuple(self._loop._transports.values()):  # type: ignore[attr-defined]
            transport.abort()
        self._serving.cancel()

    def _clean(self) -> None:
        """What was under way is not to be found, later, as a task that nobody has ended."""
        for _ in range(CLEANING_ROUNDS):
            tasks = asyncio.all_tasks(self._loop)
            if not tasks:
                break
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.wait(tasks, timeout=0.2))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        if not self._serving.cancelled() and (error := self._serving.exception()) is not None:
            logging.getLogger("chaos").error("Unhandled in a node: %r", error)


class _Log(logging.Handler):
    """What the threads of the lives have logged; a dead one's last words count for nothing."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.threads: set[str] = set()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.threadName in self.threads:
            self.lines.append(self.format(record).replace("\n", " | "))
