"""The observer: the one hook that is told of everything that happens.

An observer gets one frozen object per occurrence, which never carries a prompt, an answer, a credential or a query.
Durations are in seconds. There is no occurrence per token: counting tokens is cheap, reporting each is not.
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
    """The stream has its terminal event. `code` is that of the error, or says who cancelled; None when completed.

    `duration_s` counts from the stream's creation, and so do `first_token_s`, None where no token ever came, and
    `queued_s`, None where its turn never came. `provider` is the kind of the model's provider, `finish_reason` how a
    completed one ended, and `span` the generation's own: None where no request started it here.
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
    provider: str = ""
    queued_s: float | None = None
    finish_reason: str | None = None
    span: TraceContext | None = None


Outcome = Literal["answered", "failed", "cancelled"]


class UpstreamAttempt(msgspec.Struct, frozen=True):
    """One attempt at an upstream is over: it has answered, failed with `code`, or was cancelled.

    `upstream` is its host and port; `duration_s` counts up to the end of the answer. `span` is the attempt's own,
    which the upstream was sent as its parent; None where no request started the generation. `provider` is the kind of
    the model's provider.
    """

    model: str
    upstream: str
    outcome: Outcome
    code: str | None
    duration_s: float
    span: TraceContext | None
    provider: str = ""


class StoreCall(msgspec.Struct, frozen=True):
    """A call of the store is over. `store` is its name, e.g. `sqlite`; `code` is the error's, None on success.

    Only a `StoreObserver` is told of it.
    """

    store: str
    operation: str
    code: str | None
    duration_s: float


class ReaderAttached(msgspec.Struct, frozen=True):
    """A reader was attached. `reader` is unique to the attachment; `transport` is `sse`, `json` or `websocket`.

    `resumed`: it came with a cursor.
    """

    stream: str
    reader: str
    transport: str
    principal: str
    resumed: bool = False


class ReaderLeft(msgspec.Struct, frozen=True):
    """A reader has left. `ended`: it had all events. `disconnected`: the client left. `asked`: the server sent it away.

    `events` counts the events of the log that it was sent, even where several were merged into one.
    """

    stream: str
    reader: str
    transport: str
    events: int
    duration_s: float
    reason: Literal["ended", "disconnected", "asked"]


class RequestDone(msgspec.Struct, frozen=True):
    """One HTTP request and its whole answer. `status` is None where the client left before one was sent.

    `address` is the client's, `stream` the stream that the request was about, `code` that of the error in the answer,
    which has status 200 where an `EventSource` is told to wait. `quiet`: anyone may call this route, and probes and
    browsers do so all the time. `route` is the path as the table of routes has it, None where there is none; `head_s`
    the time up to the head of the answer, and `streamed` says that events followed it. `span` is the request's own.
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
    route: str | None = None
    head_s: float | None = None
    streamed: bool = False
    span: TraceContext | None = None


GAVE_WAY = "gave_way"
TURNED_AWAY = "turned_away"


class CallRefused(msgspec.Struct, frozen=True):
    """A call that is no `RequestDone` was answered with the error `code`: a WebSocket's, or one without a head that can
    be read. `GAVE_WAY`: a connection was closed, since what waited in it was too much. `TURNED_AWAY`: one too many."""

    code: str


class Failure(msgspec.Struct, frozen=True):
    """Something that should not happen did. `where` names the part of tidegate, e.g. `http` or `provider`."""

    where: str
    exception: BaseException
    request_id: str | None = None
    stream: str | None = None


class LimitReached(msgspec.Struct, frozen=True):
    """A caller was refused or disconnected: a limit, global or per account, is reached. `limit` names its setting.

    It is reported once in a while for each limit and account; `refused` counts the refusals since the last report.
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
    | CallRefused
    | LimitReached
    | Failure
)


class Observer(Protocol):
    """Called on the event loop's thread: must neither block nor raise."""

    def observe(self, occurrence: Occurrence) -> None: ...


@runtime_checkable
class StoreObserver(Protocol):
    """An observer that also wants the store's calls. They are not measured where no observer has this method."""

    def observe_store(self, call: StoreCall) -> None: ...
