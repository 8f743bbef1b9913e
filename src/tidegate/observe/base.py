"""The one hook through which everything that happens is seen.

An observer gets one frozen object per occurrence. None of them carries a prompt, an answer, a credential or a
query. Durations are in seconds. There is no occurrence per token: counting them is cheap, telling of them is not.
"""

from __future__ import annotations

from typing import Literal, Protocol, runtime_checkable

import msgspec

from tidegate.core.trace_context import TraceContext


class GenerationStarted(msgspec.Struct, frozen=True):
    """A provider was asked, after `queued_s` of waiting for its turn."""

    stream: str
    model: str
    principal: str
    queued_s: float


class GenerationEnded(msgspec.Struct, frozen=True):
    """The stream has its terminal event. `code` is the error's, or who cancelled; None when completed.

    `duration_s` counts from the stream's creation, and so does `first_token_s`: None where no token ever came.
    """

    stream: str
    model: str
    principal: str
    status: Literal["completed", "cancelled", "failed"]
    code: str | None
    duration_s: float
    first_token_s: float | None
    prompt_tokens: int
    completion_tokens: int


class UpstreamAttempt(msgspec.Struct, frozen=True):
    """An upstream was asked to answer for a model, and has done so, or failed with `code`, or was stopped.

    `upstream` is its host and port; `duration_s` counts up to the end of the answer. `span` is the attempt's own, which
    the upstream was told as its parent; None where no request has asked for the generation.
    """

    model: str
    upstream: str
    outcome: Literal["answered", "failed", "cancelled"]
    code: str | None
    duration_s: float
    span: TraceContext | None


class StoreCall(msgspec.Struct, frozen=True):
    """A call of the store is over. `store` is its name, e.g. `sqlite`, and `code` the error's; None where it went well.

    It is told to a `StoreObserver` alone.
    """

    store: str
    operation: str
    code: str | None
    duration_s: float


class ReaderAttached(msgspec.Struct, frozen=True):
    """`reader` is an id of its own for each attachment; `transport` is `sse` or `json`."""

    stream: str
    reader: str
    transport: str
    principal: str


class ReaderLeft(msgspec.Struct, frozen=True):
    """`ended`: it had everything. `disconnected`: the client went. `asked`: the server told it to go."""

    stream: str
    reader: str
    transport: str
    events: int
    duration_s: float
    reason: Literal["ended", "disconnected", "asked"]


class RequestDone(msgspec.Struct, frozen=True):
    """One HTTP request and its whole answer. `status` is None where the client left before one was sent.

    `address` is the client's, `stream` the one that the request was about, `code` that of the error it was answered
    with; an `EventSource` that has to wait is told so with status 200. `quiet`: anyone may call this route, and
    probes and browsers do so all the time.
    """

    request_id: str | None
    method: str
    path: str
    status: int | None
    duration_s: float
    principal: str | None = None
    address: str | None = None
    stream: str | None = None
    code: str | None = None
    quiet: bool = False


class Failure(msgspec.Struct, frozen=True):
    """Something that should not happen did. `where` names the part of tidegate, e.g. `http` or `provider`."""

    where: str
    exception: BaseException
    request_id: str | None = None
    stream: str | None = None


class LimitReached(msgspec.Struct, frozen=True):
    """Somebody was refused, or closed, for what all, or its account, hold already. `limit` is the setting's name.

    It is told once in a while for each limit and account; `refused` counts those that it stands for.
    """

    limit: str
    account: str
    address: str | None = None
    refused: int = 1


Occurrence = (
    GenerationStarted
    | GenerationEnded
    | UpstreamAttempt
    | ReaderAttached
    | ReaderLeft
    | RequestDone
    | LimitReached
    | Failure
)


class Observer(Protocol):
    """Called on the event loop's thread: must neither block nor raise."""

    def observe(self, occurrence: Occurrence) -> None: ...


@runtime_checkable
class StoreObserver(Protocol):
    """What an observer has besides, to be told of the store's calls. Where nobody has it, they are not measured."""

    def observe_store(self, call: StoreCall) -> None: ...
