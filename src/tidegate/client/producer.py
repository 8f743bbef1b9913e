"""Fills a stream from a program that blocks: from an agent, a batch job, or a model in another process."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from tidegate.client.production import Production
from tidegate.client.wire import done


class Producer:
    """A stream that this program fills; `Client.produce` opens it.

        with client.produce(key="report-17") as producer:
            producer.delta("Once upon a time")

    At the end of the `with` it is completed, or failed if an exception passes. While nothing is appended, a
    thread tells the server that the program is still there.
    """

    def __init__(self, production: Production) -> None:
        self._production = production
        if not production.ended:
            threading.Thread(target=_keep, args=(production,), name="tidegate-producer", daemon=True).start()

    def __del__(self) -> None:
        self.close()

    @property
    def id(self) -> str:
        return self._production.id

    @property
    def text(self) -> str:
        """What an earlier run of the program has written with this key."""
        return self._production.text

    @property
    def offset(self) -> int:
        """How many events the server has, `started` included."""
        return self._production.offset

    @property
    def ended(self) -> bool:
        """Whether nothing more can be appended."""
        return self._production.ended

    @property
    def cancelled(self) -> bool:
        """Whether somebody else has ended the stream: a reader who cancelled it, say. A thread finds out."""
        return self._production.cancelled

    def delta(self, text: str) -> None:
        """Appends a piece of text. Raises as `append`."""
        done(self._production.delta(text))

    def append(self, type: str, data: Mapping[str, Any]) -> None:
        """Appends an event, and returns when the server has it.

        Raises `StreamEnded` where it was cancelled, `Fenced` where a later run with this key fills it or the lease has
        run out, and `Offline`: then the event is in doubt, and is sent again before the next one.
        """
        done(self._production.append(type, data))

    def complete(self, finish_reason: str = "stop", usage: Mapping[str, int] | None = None) -> None:
        """Ends the stream as completed."""
        done(self._production.complete(finish_reason, usage))

    def fail(self, message: str, code: str = "producer_failed") -> None:
        """Ends the stream as failed; readers are shown the message."""
        done(self._production.fail(message, code))

    def close(self) -> None:
        """Leaves the stream as it is: it fails when the lease runs out, if no other run of the program goes on."""
        self._production.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        done(self._production.leave(error))


def _keep(production: Production) -> None:
    done(production.keep())
