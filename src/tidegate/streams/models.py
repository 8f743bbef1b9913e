"""The models that this process serves: each has a queue and a provider, which may be replaced while it answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from tidegate.core.events import GenerationRequest
from tidegate.errors import ConfigError, ProviderError
from tidegate.providers.base import Sink
from tidegate.streams.admission import Admission
from tidegate.streams.started_provider import StartedProvider

MOST_NAMES = 10
"""Names listed in the error for an unknown model: enough to see a typo, and no catalogue."""

logger = logging.getLogger("tidegate.streams")


class Model:
    """One entry of `[[models]]` at run time: a queue before the configured provider, of this `kind`."""

    def __init__(
        self,
        name: str,
        provider: StartedProvider,
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
        self._outgoing: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Starts the provider, once. Raises `ConfigError` where it cannot start; the next call tries again."""
        await self._provider.start()

    async def generate(self, request: GenerationRequest, sink: Sink) -> None:
        """Has the provider of this moment answer, to the end."""
        try:
            await self._provider.generate(request, sink)
        except ConfigError as error:
            # The message is for the operator only: it may name files and variables of this machine.
            logger.error("model %r cannot be started: %s", self.name, error)
            raise ProviderError(f"the model {self.name!r} cannot be started") from error

    def change(self, provider: StartedProvider, kind: str) -> None:
        """Has another provider answer from here on, what is queued included. The one before is closed when it is idle:
        what it has begun it answers to the end."""
        outgoing, self._provider, self.kind = self._provider, provider, kind
        task = asyncio.get_running_loop().create_task(self._see_off(outgoing))
        self._outgoing.add(task)
        task.add_done_callback(self._outgoing.discard)

    async def retire(self) -> None:
        """Closes the model once nothing runs or waits for it any more; it is given no more."""
        await self.admission.emptied()
        await self.close()

    async def close(self) -> None:
        """Closes the provider; a later `start` starts it again. What it answers has been cancelled before."""
        await asyncio.gather(*self._outgoing)
        await self._provider.close()

    async def _see_off(self, provider: StartedProvider) -> None:
        await provider.idle()
        try:
            await provider.close()
        except Exception:
            logger.exception("the provider that model %r had before could not be closed", self.name)


def offer(names: Sequence[str]) -> str:
    """A clause for error messages that lists the models."""
    shown = ", ".join(name[:64] for name in names[:MOST_NAMES])
    more = len(names) - MOST_NAMES
    return f"there are {shown}" + (f" and {more} more" if more > 0 else "") if names else "there are none"
