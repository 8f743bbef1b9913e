"""Plays a text at an exact rate, without a model: for demos, tests and benchmarks."""

from __future__ import annotations

import asyncio
import re
import time
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Sequence
from itertools import accumulate
from pathlib import Path

import msgspec

from tidegate.core.events import Completed, Delta, GenerationRequest, Usage
from tidegate.core.opaque import EXACT_BYTES
from tidegate.errors import ProviderError
from tidegate.providers.base import Sink
from tidegate.providers.settings import ReplayModel, unusable

# Tokens emitted together before the loop and the store have a turn: about as many as one read of a fast upstream
# brings, and under a millisecond of work.
BURST = 64

TEXT = (
    "Twice a day the sea comes in and twice it goes out again, drawn by a moon that it never touches. "
    "The water does not hurry. It finds the lowest channel first, fills it, and only then climbs the sand, "
    "so that a harbour which looked empty at breakfast carries its boats by noon. "
    "Those who live by it learn to read a table of hours rather than the sky: when the gate may be opened, "
    "how long the lock will hold, which bar can be crossed and which must wait. "
    "A tide that is missed is not lost. Another one is already on its way."
)

_TOKEN = re.compile(r"\s*\S+")


class ReplayProvider:
    """Answers every request with the same text: the model's, or its file's, or one about tides.

    A token is a word, and each but the first carries the space before it. Token `i`, from 0, is due at
    `start + i / rate`; tokens that are late are emitted together, so the rate does not drift.
    """

    def __init__(
        self,
        model: ReplayModel,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        if model.text and model.file:
            raise unusable(model, "file", model.file, "it cannot be given together with text")
        self._model = model
        self._clock = clock
        self._sleep = sleep
        self._once: list[Delta] = []
        self._again: list[Delta] = []

    async def start(self) -> None:
        """Reads and splits the text. Raises `ConfigError` where it cannot be read or has no words."""
        found = words(self._model)
        self._once = [Delta(word) for word in found]
        self._again = [Delta(f" {found[0]}"), *self._once[1:]]

    async def generate(self, request: GenerationRequest, sink: Sink) -> None:
        """Emits the tokens as they fall due."""
        sink.opened()
        tokens = self._model.tokens
        count = tokens if request.max_tokens is None else min(tokens, request.max_tokens)
        last, stopped = None, self._stopped(request.stop, count)
        if stopped is not None:
            count, last = stopped
        reason = "stop" if stopped is not None or count == tokens else "length"
        sent = self._carried(request, count, last)
        # As if the carried tokens had been played on time.
        start = self._clock() - (sent / self._model.rate if self._model.rate else 0)
        while sent < count:
            await self._sleep(self._delay(start, sent))
            await sink.room()
            due = min(self._due(start, sent), count)
            sink.emit([last if last is not None and i == count - 1 else self._token(i) for i in range(sent, due)])
            sent = due
        sink.emit([Completed(reason, _usage(request, count))])

    async def close(self) -> None:
        """Does nothing: there is nothing to free."""

    def _stopped(self, stops: Sequence[str], count: int) -> tuple[int, Delta | None] | None:
        """Where the first stop text cuts the answer: the number of tokens up to there, and the last one, which is cut.

        None where no stop text is in the first `count` tokens. The text repeats itself, so two rounds and the length of
        a stop text are enough to search.
        """
        longest = max(map(len, stops), default=0)
        texts = [self._token(i).text for i in range(min(count, 2 * len(self._once) + longest) if stops else 0)]
        whole = "".join(texts)
        end = min((at for stop in stops if stop and (at := whole.find(stop)) >= 0), default=None)
        if end is None:
            return None
        ends = list(accumulate(map(len, texts)))
        tokens = bisect_left(ends, end) + 1 if end else 0
        cut = whole[ends[tokens - 1] - len(texts[tokens - 1]) : end]
        return tokens, Delta(cut) if tokens else None

    def _carried(self, request: GenerationRequest, count: int, last: Delta | None) -> int:
        """How many tokens the log has already. Raises `ProviderError` where its text is not a beginning of this one."""
        text, sent = request.carried.text if request.carried is not None else "", 0
        while text:
            token = last.text if last is not None and sent == count - 1 else self._token(sent).text
            if sent == self._model.tokens or not text.startswith(token):
                raise ProviderError("the text of this model is another one now: the answer cannot be carried on")
            text, sent = text[len(token) :], sent + 1
        return sent

    def _delay(self, start: float, sent: int) -> float:
        rate = self._model.rate
        return max(0.0, start + sent / rate - self._clock()) if rate else 0.0

    def _due(self, start: float, sent: int) -> int:
        rate = self._model.rate
        due = int((self._clock() - start) * rate) + 1 if rate else sent + BURST
        # A timer may fire slightly early; the token that it was set for is due all the same.
        return min(max(due, sent + 1), sent + BURST)

    def _token(self, index: int) -> Delta:
        size = len(self._once)
        return self._once[index] if index < size else self._again[index % size]


def words(model: ReplayModel) -> list[str]:
    """The words that are played before they repeat. Raises `ConfigError` where there are none, or no file to read."""
    found = _TOKEN.findall(_text(model).strip())[: model.tokens]
    if not found:
        key = "file" if model.file else "text"
        raise unusable(model, key, getattr(model, key), "it has no words")
    return found


def _text(model: ReplayModel) -> str:
    if not model.file:
        return model.text or TEXT
    try:
        return Path(model.file).read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise unusable(model, "file", model.file, f"it is not UTF-8: {error}") from error
    except OSError as error:
        raise unusable(model, "file", model.file, f"it cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # characters that no path has
        raise unusable(model, "file", model.file, f"it cannot be read: {error}") from error


def _usage(request: GenerationRequest, completion: int) -> Usage:
    prompt = _words(request)
    return Usage(prompt, completion, prompt + completion)


def _words(request: GenerationRequest) -> int:
    """How many words the prompt has; an estimate for a long prompt, which would have to be split to be counted."""
    texts = [message.text_json for message in request.messages]
    if sum(map(len, texts)) > EXACT_BYTES:
        return request.prompt_tokens
    return sum(len(msgspec.json.decode(text, type=str).split()) for text in texts)
