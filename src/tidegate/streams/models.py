"""The models that this process serves: each has a queue and a provider, which is started when first needed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextvars import Context

from tidegate.core.events import GenerationRequest
from tidegate.errors import ConfigError, ProviderError
from tidegate.providers.base import Provider, Sink
from tidegate.streams.admission import Admission

MOST_NAMES = 10
"""Names listed in the error for an unknown model: enough to see a typo, and no catalogue."""

logger = logging.getLogger("tidegate.streams")


class Model:
    """One entry of `[[models]]` at run time: a `Provider` that starts and asks the configured one, of this `kind`."""

    def __init__(
        self,
        name: str,
        provider: Provider,
        *,
        max_concurrency: int,
        max_queue: int,
        can_continue: bool = False,
        kind: str = "",
    ) -> None:
        self.name = name
        self.kind = kind
        self.can_continue = can_continue
        self.admission = Admission(name, max_concurrency=max_concurrency, max_queue=max_queue)
        self._provider = provider
        self._started: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Starts the provider, once. Raises `ConfigError` where it cannot start; the next call tries again."""
        if self._started is None or has_failed(self._started):
            # What the provider starts, e.g. a process, does not belong to the trace of the first request.
            self._started = asyncio.get_running_loop().create_task(self._provider.start(), context=Context())
        # All callers share the start, so the cancellation of one must not stop it.
        await asyncio.shield(self._started)

    async def generate(self, request: GenerationRequest, sink: Sink) -> None:
        try:
            await self.start()
        except ConfigError as error:
            # The message is for the operator only: it may name files and variables of this machine.
            logger.error("model %r cannot be started: %s", self.name, error)
            raise ProviderError(f"the model {self.name!r} cannot be started") from error
        await self._provider.generate(request, sink)

    async def close(self) -> None:
        """Closes the provider; a later `start` starts it again."""
        if self._started is not None:
            await asyncio.wait((self._started,))
            failed = has_failed(self._started)
            self._started = None
            if not failed:
                await self._provider.close()


def has_failed(task: asyncio.Task[None]) -> bool:
    """Whether the task was cancelled or has raised."""
    return task.done() and (task.cancelled() or task.exception() is not None)


def offer(names: Sequence[str]) -> str:
    """A clause for error messages that lists the models."""
    shown = ", ".join(name[:64] for name in names[:MOST_NAMES])
    more = len(names) - MOST_NAMES
    return f"there are {shown}" + (f" and {more} more" if more > 0 else "") if names else "there are none"
