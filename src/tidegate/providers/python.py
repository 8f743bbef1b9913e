"""The user's own model: a function that is called with the request and yields the answer piece by piece."""

from __future__ import annotations

import asyncio
import inspect
import operator
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from importlib import import_module
from typing import Any, cast

import msgspec

from tidegate.core.events import (
    Completed,
    Content,
    Delta,
    GenerationRequest,
    Reasoning,
    ToolCall,
    decode,
    encode,
    one_line,
)
from tidegate.errors import ConfigError, ProviderError
from tidegate.providers.answer_thread import AnswerThread
from tidegate.providers.base import Sink
from tidegate.providers.settings import PythonModel, unusable

# A generator that never awaits would block the loop: after so many pieces the loop has a turn.
BURST = 64


class PythonProvider:
    """Calls the model's target with each request; the target returns an async iterator, or a plain one.

    The pieces are `str`, `Delta`, `Reasoning` or `ToolCall`, and optionally a `Completed` at the end. An async iterator
    runs on the loop, a plain one in a thread of its own, so that it may block. On cancel an async
    generator is closed at once and a plain one at its next piece: their `finally` blocks run. What the target
    raises is raised by `generate` as it is.
    """

    def __init__(self, model: PythonModel) -> None:
        self._model = model
        self._target: Callable[[GenerationRequest], Any] | None = None

    async def start(self) -> None:
        """Imports the target. Raises `ConfigError` where that fails, or where it cannot be called."""
        self._target = target(self._model)

    async def generate(self, request: GenerationRequest, sink: Sink) -> None:
        """Emits the pieces that the target yields, up to its `Completed` or its end."""
        assert self._target is not None, "start() comes first"
        try:
            answer: object = self._target(request)
            if inspect.isawaitable(answer):
                answer = await answer
            if isinstance(answer, AsyncIterable):
                await self._follow(cast("AsyncIterable[object]", answer), sink)
            elif isinstance(answer, Iterator):
                await AnswerThread(cast("Iterator[object]", answer), self._event, sink).run()
            else:
                raise self._failed(f"answered with {type(answer).__name__}, not with an async iterator or a generator")
        except SystemExit as error:
            # Raised in a task, it would stop the whole server.
            raise self._failed("asked the process to exit") from error

    async def close(self) -> None:
        """Does nothing: there is nothing to free."""

    async def _follow(self, answer: AsyncIterable[object], sink: Sink) -> None:
        iterator = aiter(answer)
        try:
            await self._emit(iterator, sink)
        finally:
            close = getattr(iterator, "aclose", None)
            if close is not None:
                await close()

    async def _emit(self, pieces: AsyncIterator[object], sink: Sink) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        count = 0
        async for piece in pieces:
            if task.cancelling():
                # The target has swallowed the cancellation.
                raise asyncio.CancelledError
            event = self._event(piece)
            if event is not None:
                sink.emit([event])
            if isinstance(event, Completed):
                return
            await sink.room()
            count += 1
            if count % BURST == 0:
                await asyncio.sleep(0)

    def _event(self, piece: object) -> Content | Completed | None:
        """The piece as an event that a log can keep; None for an empty text."""
        if isinstance(piece, str):
            if not piece:
                return None
            piece = Delta(str.__str__(piece))
        if not isinstance(piece, Delta | Reasoning | ToolCall | Completed):
            kind = type(piece).__name__
            raise self._failed(f"gave a piece of type {kind}; it may give str, Delta, Reasoning, ToolCall, Completed")
        try:
            # Structs do not validate their fields, and half a surrogate pair is no text: better found here, with the
            # target to blame, than by the store.
            return cast("Content | Completed", decode(one_line(encode(piece))))
        except (TypeError, ValueError, msgspec.MsgspecError) as error:
            raise self._failed(f"gave a {type(piece).__name__} that cannot be kept: {error}") from error

    def _failed(self, problem: str) -> ProviderError:
        return ProviderError(f"the function of model {self._model.name!r} {problem}")


def target(model: PythonModel) -> Callable[[GenerationRequest], Any]:
    """The model's target: a function, or one imported by name. Raises `ConfigError`."""
    found: object = _imported(model, model.target) if isinstance(model.target, str) else model.target
    if not callable(found):
        raise _refused(model, f"it is of type {type(found).__name__}, which cannot be called")
    return found


def _imported(model: PythonModel, path: str) -> object:
    module, _, attribute = path.partition(":")
    if not module or not attribute:
        raise _refused(model, "expected module:attribute")
    try:
        imported = import_module(module)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{module}.".startswith(f"{error.name}."):
            raise _refused(model, f"there is no module {error.name!r}") from error
        raise _refused(model, f"importing {module} raised {type(error).__name__}: {error}") from error
    try:
        return operator.attrgetter(attribute)(imported)
    except AttributeError as error:
        raise _refused(model, f"module {module!r} has no attribute {attribute!r}") from error


def _refused(model: PythonModel, problem: str) -> ConfigError:
    return unusable(model, "target", model.target, problem)
