"""One model behind several providers: which provider is asked, and when the next one is tried."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from time import monotonic

import msgspec

from tidegate.core.events import GenerationRequest
from tidegate.core.trace_context import current_trace
from tidegate.errors import ProviderError, TidegateError
from tidegate.observe.base import Observer, UpstreamAttempt
from tidegate.providers.base import Provider, Sink


class Candidate(msgspec.Struct, frozen=True):
    """One provider of a model, drawn by `weight`; the provider asks the server at `upstream`, a host and port."""

    provider: Provider
    upstream: str
    weight: int = 1


class Attempts:
    """The `Provider` of a model that has several of a kind: it asks one of them, and reports each attempt.

    `clock` is in seconds, `random` draws from [0, 1), `random_bytes` makes the ids of the attempts' spans.
    """

    def __init__(
        self,
        model: str,
        candidates: Sequence[Candidate],
        *,
        observer: Observer,
        kind: str = "",
        clock: Callable[[], float] = monotonic,
        random: Callable[[], float] = random.random,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._model = model
        self._candidates = candidates
        self._observer = observer
        self._kind = kind
        self._clock = clock
        self._random = random
        self._random_bytes = random_bytes

    async def start(self) -> None:
        """Starts every provider. Raises `ConfigError` where one can never start."""
        for candidate in self._candidates:
            await candidate.provider.start()

    async def generate(self, request: GenerationRequest, sink: Sink) -> None:
        """Tries the providers in a drawn order until a request has reached one; that one's failure is the model's."""
        order = drawn(self._candidates, self._random)
        for candidate in order:
            try:
                await self._attempt(candidate, request, sink)
                return
            except ProviderError as error:
                if candidate is order[-1] or not error.unasked:
                    raise

    async def close(self) -> None:
        for candidate in self._candidates:
            await candidate.provider.close()

    async def _attempt(self, candidate: Candidate, request: GenerationRequest, sink: Sink) -> None:
        """Asks one candidate within a span of its own, which is the current span while the candidate works."""
        trace = current_trace.get()
        span = None if trace is None else trace.child(self._random_bytes(8))
        since, outcome, code = self._clock(), "cancelled", None
        current_trace.set(span)
        try:
            await candidate.provider.generate(request, sink)
            outcome = "answered"
        except Exception as error:
            outcome, code = "failed", error.code if isinstance(error, TidegateError) else ProviderError.code
            raise
        finally:
            current_trace.set(trace)
            seconds = self._clock() - since
            self._observer.observe(
                UpstreamAttempt(self._model, candidate.upstream, outcome, code, seconds, span, self._kind)
            )


def drawn(candidates: Sequence[Candidate], random: Callable[[], float]) -> Sequence[Candidate]:
    """All candidates in a random order: each is drawn by weight from those that are left."""
    left = list(candidates)
    order: list[Candidate] = []
    while len(left) > 1:
        point = random() * sum(candidate.weight for candidate in left)
        position = 0
        while position < len(left) - 1 and point >= left[position].weight:
            point -= left[position].weight
            position += 1
        order.append(left.pop(position))
    return [*order, *left]
