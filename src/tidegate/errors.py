"""Every error tidegate can answer with, in one tree.

    TidegateError                    code                   status  retryable
    ├── InvalidRequest               invalid_request        400
    │   ├── MalformedHttp            malformed_http         400
    │   ├── InvalidJson              invalid_json           400
    │   ├── InvalidValue             invalid_value          400
    │   ├── UnknownField             unknown_field          400
    │   ├── MalformedCursor          malformed_cursor       400
    │   ├── MalformedMessage         malformed_message      400
    │   └── HostNotAllowed           host_not_allowed       400
    ├── Unauthenticated              invalid_credentials    401
    │   └── TokenExpired             token_expired          401
    ├── Forbidden                    missing_scope          403
    │   ├── AnotherPrincipal         another_principal      403
    │   ├── OriginNotAllowed         origin_not_allowed     403
    │   └── TopicForbidden           topic_forbidden        403
    ├── NotFound                     not_found              404
    │   ├── StreamNotFound           stream_not_found       404
    │   └── ModelNotFound            model_not_found        404
    ├── MethodNotAllowed             method_not_allowed     405
    ├── RequestTimeout               request_timeout        408     yes
    ├── Conflict                     conflict               409
    │   ├── AlreadyAttached          already_attached       409
    │   ├── IdempotencyMismatch      idempotency_mismatch   409
    │   ├── Fenced                   fenced                 409
    │   ├── GenerationCancelled      cancelled              409
    │   ├── OffsetMismatch           offset_mismatch        409
    │   ├── StreamEnded              stream_ended           409
    │   └── TooManyShares            too_many_shares        409
    ├── BodyTooLarge                 body_too_large         413
    ├── TooLong                      too_long               413
    ├── UnsupportedMediaType         unsupported_media_type 415
    ├── UpgradeRequired              upgrade_required       426
    ├── RateLimited                  rate_limit_exceeded    429     yes
    │   ├── StorageFull              storage_full           429     yes
    │   ├── TokensExhausted          tokens_exhausted       429     yes
    │   ├── TooManyConnections       too_many_connections   429     yes
    │   ├── TooManyGenerations       too_many_generations   429     yes
    │   └── TooManyReaders           too_many_readers       429     yes
    ├── HeadersTooLarge              headers_too_large      431
    ├── InternalError                internal_error         500
    ├── ProviderError                provider_error         502     yes
    │   ├── UpstreamRefused          upstream_refused       the upstream's own
    │   ├── UpstreamUnreachable      upstream_unreachable   502     yes
    │   ├── UpstreamInterrupted      upstream_interrupted   502     yes
    │   ├── UpstreamAborted          upstream_aborted       502     yes
    │   ├── UpstreamEmpty            upstream_empty         502     yes
    │   ├── UpstreamMalformed        upstream_malformed     502
    │   ├── UpstreamTimeout          upstream_timeout       504     yes
    │   └── ProviderCrashed          provider_crashed       502     yes
    ├── Unavailable                  unavailable            503     yes
    │   ├── Draining                 draining               503     yes
    │   ├── Overloaded               overloaded             503     yes
    │   ├── QueueFull                queue_full             503     yes
    │   ├── StoreUnavailable         store_unavailable      503     yes
    │   ├── IssuerUnavailable        issuer_unavailable     503     yes
    │   └── Interrupted              interrupted            503     yes
    ├── CancelTimeout                cancel_timeout         504     yes
    └── ConfigError                  config_error           never answered: exit code 2
        └── InUse                    in_use                 never answered: exit code 1

On the wire errors have OpenAI's shape, so that its SDKs raise the matching class:
`{"error": {"type", "code", "message", "param", "request_id"}}`.
"""

from __future__ import annotations


class TidegateError(Exception):
    """An error with a stable `code`, an HTTP `status` and a message fit to be shown to a client.

    `param` names the offending input in dotted form (`messages.0.content`), where there is one. `retry_after` is in
    seconds; it becomes the `retry-after` headers. `retry_told`: the response says explicitly that the request may be
    repeated, since its status does not. `request_id`: where a client was refused, what the server called its request.
    """

    type: str = "server_error"
    code: str = "internal_error"
    status: int = 500
    retryable: bool = False
    retry_told: bool = False
    retry_after: float | None = None
    request_id: str | None = None

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param

    def body(self, request_id: str | None) -> dict[str, dict[str, str | int | None]]:
        """The error as it is sent to a client."""
        said = {"type": self.type, "code": self.code, "message": self.message}
        return {"error": {**said, "param": self.param, "request_id": request_id}}


class InvalidRequest(TidegateError):
    type = "invalid_request_error"
    code = "invalid_request"
    status = 400


class MalformedHttp(InvalidRequest):
    code = "malformed_http"


class InvalidJson(InvalidRequest):
    code = "invalid_json"


class InvalidValue(InvalidRequest):
    code = "invalid_value"


class UnknownField(InvalidRequest):
    code = "unknown_field"


class MalformedCursor(InvalidRequest):
    code = "malformed_cursor"


class MalformedMessage(InvalidRequest):
    """A WebSocket message that is no call."""

    code = "malformed_message"


class HostNotAllowed(InvalidRequest):
    code = "host_not_allowed"


class Unauthenticated(TidegateError):
    type = "authentication_error"
    code = "invalid_credentials"
    status = 401


class TokenExpired(Unauthenticated):
    """The credentials were valid, but have expired: the caller needs a new token."""

    code = "token_expired"


class Forbidden(TidegateError):
    type = "permission_error"
    code = "missing_scope"
    status = 403


class AnotherPrincipal(Forbidden):
    """An open WebSocket was given the credentials of another principal."""

    code = "another_principal"


class OriginNotAllowed(Forbidden):
    """The request comes from a web page of a site that may not use this server."""

    code = "origin_not_allowed"


class TopicForbidden(Forbidden):
    """The token's `topics_read` or `topics_write` does not cover this topic."""

    code = "topic_forbidden"


class NotFound(TidegateError):
    type = "not_found_error"
    code = "not_found"
    status = 404


class StreamNotFound(NotFound):
    code = "stream_not_found"


class ModelNotFound(NotFound):
    code = "model_not_found"


class MethodNotAllowed(TidegateError):
    type = "invalid_request_error"
    code = "method_not_allowed"
    status = 405

    def __init__(self, message: str, *, allow: str) -> None:
        super().__init__(message)
        self.allow = allow


class RequestTimeout(TidegateError):
    type = "invalid_request_error"
    code = "request_timeout"
    status = 408
    retryable = True


class Conflict(TidegateError):
    type = "conflict_error"
    code = "conflict"
    status = 409


class AlreadyAttached(Conflict):
    """The WebSocket follows this stream or topic already."""

    code = "already_attached"


class IdempotencyMismatch(Conflict):
    code = "idempotency_mismatch"


class Fenced(Conflict):
    """The writer's fence is no longer the stream's: another process fills it now."""

    code = "fenced"


class OffsetMismatch(Conflict):
    """The append expected another tail; `tail` is the right one."""

    code = "offset_mismatch"

    def __init__(self, message: str, *, tail: int) -> None:
        super().__init__(message, param="expected_offset")
        self.tail = tail

    def body(self, request_id: str | None) -> dict[str, dict[str, str | int | None]]:
        """The error as it is sent to a client, with the right tail as `offset`."""
        return {"error": {**super().body(request_id)["error"], "offset": self.tail}}


class GenerationCancelled(Conflict):
    """The answer, which was asked for as a whole, was cancelled before its end."""

    code = "cancelled"


class StreamEnded(Conflict):
    """The stream has its one terminal event; nothing can follow it."""

    code = "stream_ended"


class TooManyShares(Conflict):
    """The stream has as many share tokens as it may have at a time."""

    code = "too_many_shares"


class BodyTooLarge(TidegateError):
    type = "invalid_request_error"
    code = "body_too_large"
    status = 413


class TooLong(TidegateError):
    """The answer grew past `limits.max_generation_bytes`, the longest that is kept."""

    type = "invalid_request_error"
    code = "too_long"
    status = 413


class UnsupportedMediaType(TidegateError):
    type = "invalid_request_error"
    code = "unsupported_media_type"
    status = 415


class UpgradeRequired(TidegateError):
    """This path speaks WebSocket only."""

    type = "invalid_request_error"
    code = "upgrade_required"
    status = 426


class RateLimited(TidegateError):
    """The caller has exceeded one of the `limits`; `retry_after` says when it may try again."""

    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    status = 429
    retryable = True

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class StorageFull(RateLimited):
    """Live streams and published events fill `limits.max_stored_bytes_per_principal` or, of all, `store.max_bytes`."""

    code = "storage_full"


class TokensExhausted(RateLimited):
    """The caller has used up `limits.tokens_per_minute`."""

    code = "tokens_exhausted"


class TooManyConnections(RateLimited):
    """The caller has as many connections as `limits.connections_per_principal` allows."""

    code = "too_many_connections"


class TooManyGenerations(RateLimited):
    """The caller has as many live streams as `limits.concurrent_generations` allows."""

    code = "too_many_generations"


class TooManyReaders(RateLimited):
    """The caller has as many readers as `limits.readers_per_principal` allows."""

    code = "too_many_readers"


class HeadersTooLarge(TidegateError):
    type = "invalid_request_error"
    code = "headers_too_large"
    status = 431


class InternalError(TidegateError):
    """The error that a client gets for a bug; the log has the details."""


class ProviderError(TidegateError):
    """The provider has failed. `unasked` says that no upstream was asked, so that another one may be."""

    type = "upstream_error"
    code = "provider_error"
    status = 502
    retryable = True
    unasked = False


class UpstreamRefused(ProviderError):
    """The upstream answered with an error of its own. `theirs` is the upstream's status, if it sent one."""

    code = "upstream_refused"
    retryable = False

    def __init__(
        self,
        message: str,
        *,
        type: str,
        status: int,
        code: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
        retryable: bool | None = None,
        theirs: int | None = None,
    ) -> None:
        super().__init__(message, param=param)
        self.type = type
        self.status = status
        self.code = code or "upstream_refused"
        self.retryable = status == 429 or status >= 500 if retryable is None else retryable
        self.retry_told = retryable is True
        self.theirs = theirs
        self.retry_after = retry_after


class UpstreamUnreachable(ProviderError):
    code = "upstream_unreachable"


class UpstreamInterrupted(ProviderError):
    """The upstream's answer broke off before its end."""

    code = "upstream_interrupted"


class UpstreamAborted(ProviderError):
    """The upstream has aborted the answer: its finish reason is an abort, an error or a cancel."""

    code = "upstream_aborted"


class UpstreamEmpty(ProviderError):
    """The upstream's answer ended before it began; nothing is charged for it."""

    code = "upstream_empty"


class UpstreamMalformed(ProviderError):
    """The upstream's answer cannot be parsed. `field` and the beginning of its `value` are for the log."""

    code = "upstream_malformed"
    retryable = False

    def __init__(self, message: str, *, field: str | None = None, value: bytes = b"") -> None:
        super().__init__(message)
        self.field = field
        self.value = value


class UpstreamTimeout(ProviderError):
    code = "upstream_timeout"
    status = 504


class ProviderCrashed(ProviderError):
    """The process that runs the embedded model died."""

    code = "provider_crashed"


class Unavailable(TidegateError):
    type = "unavailable_error"
    code = "unavailable"
    status = 503
    retryable = True
    retry_after = 1.0


class Draining(Unavailable):
    """The server is about to stop and takes no new generations."""

    code = "draining"
    retry_after = 5.0


class Overloaded(Unavailable):
    """The process has as many connections, or as many bytes waiting in them, as `limits` allows."""

    code = "overloaded"
    retry_after = 5.0


class QueueFull(Unavailable):
    """The model's queue is full and its caller holds as many places as any; or the place went to one with fewer."""

    code = "queue_full"


class StoreUnavailable(Unavailable):
    """The store could not write or read, e.g. because its disk is full. Acknowledged data is kept."""

    code = "store_unavailable"


class IssuerUnavailable(Unavailable):
    """The keys of the tokens' issuer (`auth.jwks_url`) could not be fetched, so that tokens cannot be checked."""

    code = "issuer_unavailable"
    retry_after = 5.0


class Interrupted(Unavailable):
    """The process that filled the stream stopped before the stream's end."""

    code = "interrupted"


class CancelTimeout(TidegateError):
    """The process that fills the stream has not answered a cancel in time."""

    code = "cancel_timeout"
    status = 504
    retryable = True


class ConfigError(TidegateError):
    """The configuration cannot be used: the message names the key, the value and its source.

    An error that is found only in use does not know the source. It has the `key`, in parts, a model's with its name in
    place of its index, and the `problem` alone: `config.Origins` makes the message from these.
    """

    type = "configuration_error"
    code = "config_error"

    def __init__(
        self, message: str, *, param: str | None = None, key: tuple[str, ...] = (), problem: str | None = None
    ) -> None:
        super().__init__(message, param=param)
        self.key = key
        self.problem = message if problem is None else problem


class InUse(ConfigError):
    """Another process has the port or the store: the configuration is right, but one server too many uses it."""

    code = "in_use"
