"""A thread that runs a plain iterator, which may block, and puts its events into the stream's inbox."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

from tidegate.core.events import Completed, Content
from tidegate.errors import StreamEnded
from tidegate.providers.base import Sink

logger = logging.getLogger("tidegate.providers")


class AnswerThread:
    """A thread for one answer: in a shared pool, slow answers would keep others from starting.

    It is a daemon thread: nothing can stop a native call that does not return, and the process must still end.
    """

    def __init__(
        self, answer: Iterator[object], event_of: Callable[[object], Content | Completed | None], sink: Sink
    ) -> None:
        self._answer = answer
        self._event_of = event_of
        self._sink = sink
        self._inbox = sink.inbox()
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[BaseException | None] = self._loop.create_future()
        self._stopped = False

    async def run(self) -> None:
        """Returns once the iterator has ended and all its pieces are emitted; raises what it raised.

        Cancelled, it returns at once; the thread closes the iterator at its next piece and ends.
        """
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._work,), name="tidegate-answer", daemon=True).start()
        try:
            failure = await self._done
        finally:
            self._stopped = True
        await self._sink.settled()
        if failure is not None:
            raise failure

    def _work(self) -> None:
        failure: BaseException | None = None
        try:
            self._play()
        except BaseException as error:
            failure = error
        with suppress(RuntimeError):  # the loop is closed: nobody is waiting
            self._loop.call_soon_threadsafe(self._finish, failure)

    def _play(self) -> None:
        try:
            for piece in self._answer:
                if self._stopped or not self._put(self._event_of(piece)):
                    return
        finally:
            close = getattr(self._answer, "close", None)
            if close is not None:
                close()

    def _put(self, event: Content | Completed | None) -> bool:
        """Puts an event into the inbox. Returns whether the stream takes more."""
        if event is None:
            return True
        try:
            self._inbox.put(event)
        except StreamEnded:
            return False
        return not isinstance(event, Completed)

    def _finish(self, failure: BaseException | None) -> None:
        if not self._done.done():
            self._done.set_result(failure)
        elif failure is not None:
            logger.error("an answer's thread raised after its stream's end", exc_info=failure)
