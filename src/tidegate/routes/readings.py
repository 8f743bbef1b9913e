"""The readings of one application's gauges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import get_args

from tidegate.core.connection_state import State
from tidegate.observe.gauges import Reading
from tidegate.serving.registry import Registry, Transport
from tidegate.streams.service import Service


def readings(service: Service, registry: Registry) -> Iterator[Reading]:
    """See `Gauges`."""
    yield Reading("streams_live", len(service.node.live))
    for name, model in service.models.items():
        yield Reading("generations_queued", model.admission.waiting, {"model": name})
    readers = service.readers.attached
    transports = Counter(service.readers.transport_of(reader) for reader in readers)
    connections = registry.counts()
    for transport in get_args(Transport):
        yield Reading("readers", transports[transport], {"transport": transport})
        for state in get_args(State):
            if state == "closed":
                continue  # the registry does not keep those
            yield Reading("connections", connections[transport, state], {"transport": transport, "state": state})
    yield Reading("readers_behind", sum(reader.behind for reader in readers))
    yield Reading("topics", service.topics.known)
