"""The metrics: their names, what they say, and their labels. `docs/telemetry.md` has an entry for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

Kind = Literal["counter", "gauge", "histogram"]

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0)
"""The upper bounds of the histograms' buckets, in seconds. A token takes from a millisecond, where it is passed on, to
a minute, where a model thinks; one list for all, so that one duration can be compared with another."""


class Metric(msgspec.Struct, frozen=True):
    """One metric. Histograms are in seconds. `at_zero`: the values of its labels that show 0 from the start."""

    name: str
    kind: Kind
    about: str
    labels: tuple[str, ...] = ()
    at_zero: tuple[tuple[str, ...], ...] = ()


TRANSPORTS = ("sse", "json", "websocket")

EACH_TRANSPORT = tuple((transport,) for transport in TRANSPORTS)

LIMITS = {
    "rate_limit_exceeded": "requests_per_minute",
    "tokens_exhausted": "tokens_per_minute",
    "too_many_generations": "concurrent_generations",
    "too_many_readers": "readers_per_principal",
    "too_many_connections": "connections_per_principal",
    "storage_full": "max_stored_bytes_per_principal",
    "turned_away": "connections",
    "queue_full": "max_queue",
    "body_too_large": "max_body_bytes",
    "headers_too_large": "max_header_bytes",
    "request_timeout": "request_timeout_seconds",
    "gave_way": "max_buffered_bytes",
}
"""The setting whose limit each of these codes comes from. Both that are no errors are answered with `overloaded`."""

METRICS = (
    Metric(
        "tidegate_time_to_first_token_seconds",
        "histogram",
        "From the creation of a generation to its first token, the wait for its turn included.",
        ("model",),
    ),
    Metric("tidegate_inter_token_seconds", "histogram", "Between two tokens of a model, as they came.", ("model",)),
    Metric(
        "tidegate_append_to_socket_seconds",
        "histogram",
        "From the moment that an event is handed to the store to its being written to a reader at the tail.",
        ("transport",),
        EACH_TRANSPORT,
    ),
    Metric("tidegate_generation_seconds", "histogram", "From the creation of a generation to its end.", ("model",)),
    Metric(
        "tidegate_request_seconds",
        "histogram",
        "From a request's head to the head of its answer where events follow, else to the end of the answer.",
        ("route", "status"),
    ),
    Metric("tidegate_store_append_seconds", "histogram", "An append to the store, acknowledged.", ("store",)),
    Metric("tidegate_generations_total", "counter", "Generations that have ended.", ("model", "status", "code")),
    Metric("tidegate_tokens_total", "counter", "Tokens of generations that have ended.", ("model", "kind")),
    Metric(
        "tidegate_resumes_total",
        "counter",
        "Readers that came back with a cursor.",
        ("transport",),
        EACH_TRANSPORT,
    ),
    Metric("tidegate_gaps_total", "counter", "Gaps that readers were told of: history that is lost.", (), ((),)),
    Metric("tidegate_merged_events_total", "counter", "Events that were sent as part of another one.", (), ((),)),
    Metric("tidegate_upstream_attempts_total", "counter", "Attempts at an upstream.", ("model", "upstream", "outcome")),
    Metric(
        "tidegate_rejections_total",
        "counter",
        "Callers that were refused or disconnected, by the setting that limits them.",
        ("limit",),
        tuple((limit,) for limit in LIMITS.values()),
    ),
    Metric("tidegate_saved_bytes_total", "counter", "Bytes of events that gzip has saved.", (), ((),)),
    Metric("tidegate_streams_live", "gauge", "Streams that this process fills.", (), ((),)),
    Metric("tidegate_generations_queued", "gauge", "Generations that wait for their turn.", ("model",)),
    Metric("tidegate_readers", "gauge", "Attached readers.", ("transport",), EACH_TRANSPORT),
    Metric("tidegate_connections", "gauge", "Open connections of readers and sockets.", ("transport", "state")),
    Metric("tidegate_readers_behind", "gauge", "Readers whose clients do not keep up.", (), ((),)),
    Metric("tidegate_topics", "gauge", "Topics with subscribers.", (), ((),)),
)

BY_NAME = {metric.name: metric for metric in METRICS}


def subjects_of(metric: str, labels: tuple[str, ...]) -> Sequence[tuple[str, ...]]:
    """The model that a series is of, and its upstream where it is of one; none where it is of neither."""
    names = BY_NAME[metric].labels
    return [labels[:count] for count, of in ((1, ("model",)), (2, ("model", "upstream"))) if names[:count] == of]
