"""The client for programs with threads, or with only one."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any, Self

from tidegate.client.api import Api, Table
from tidegate.client.blocking import BlockingWire
from tidegate.client.calls import Credential
from tidegate.client.producer import Producer
from tidegate.client.production import APPEND_ATTEMPTS, Production
from tidegate.client.reader import OnState, Reader
from tidegate.client.settings import calls_over, endpoint_of
from tidegate.client.stream import Stream
from tidegate.client.wire import done
from tidegate.core.backoff import ATTEMPTS, MAX_DELAY


class Client:
    """A client of the tidegate server at `base_url`, for any number of threads.

        for event in Client("http://127.0.0.1:8000").start({"model": "smollm2", "prompt": "Hello"}):
            print(event.type, event.data)

    `api_key` is a key or token, or a function that returns the valid one; without it that in TIDEGATE_API_KEY is used.
    It goes to this server alone: redirects are not followed, and proxies of the environment are not used. After a
    failure that may pass, up to `attempts` tries are made, None without end, with 1, 2, 4, then 8 seconds between them
    or `max_delay`, and up to half of that more. Then calls raise `Offline`, or the server's own error if there was one.
    """

    def __init__(
        self,
        base_url: str,
        api_key: Credential | None = None,
        attempts: int | None = ATTEMPTS,
        *,
        max_delay: float = MAX_DELAY,
    ) -> None:
        self._wire = BlockingWire(endpoint_of(base_url))
        self._api = Api(calls_over(self._wire, api_key, attempts, max_delay))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections that are kept for the next call; streams go on."""
        self._wire.close()

    def start(self, body: Mapping[str, Any], *, key: str | None = None, on_state: OnState | None = None) -> Stream:
        """Starts a generation by the `body` of `POST /v1/streams`, and returns it once it has an id.

        `key` is the Idempotency-Key: the same key leads to what it has started before. `on_state` is called with
        `connecting`, `streaming`, `reconnecting`, `offline` or `ended`, and a `Detail`.
        """
        reader = Reader(self._api.calls, "", on_state=on_state)
        done(reader.start(body, key))
        return Stream(reader, self._api)

    def follow(self, id: str, after: str | None = None, *, on_state: OnState | None = None) -> Stream:
        """A stream from its beginning, or from the cursor `after`. Nothing is asked before the first event is."""
        return Stream(Reader(self._api.calls, id, after=after, on_state=on_state), self._api)

    def subscribe(self, topic: str, after: str | None = None, *, on_state: OnState | None = None) -> Stream:
        """A topic from now on, or from the cursor `after`, or `earliest`. Returns once `subscribed` has come."""
        reader = Reader(self._api.calls, topic, is_topic=True, after=after, on_state=on_state)
        done(reader.ready())
        return Stream(reader, self._api)

    def publish(
        self, topic: str, data: object, type: str | None = None, *, state: bool = False, key: str | None = None
    ) -> str:
        """Publishes any JSON to a topic; returns its cursor. With `state` it is what late joiners get as the state."""
        return done(self._api.publish(topic, data, type, state, key))

    def produce(
        self,
        key: str | None = None,
        *,
        metadata: Mapping[str, str] = {},
        attempts: int | None = APPEND_ATTEMPTS,
    ) -> Producer:
        """Opens a stream that this program fills, or goes on with the one that was opened with this key.

        `attempts` tries of an append may fail in a row after the first.
        """
        production = Production(self._api.calls, key, metadata, attempts)
        done(production.open())
        return Producer(production)

    def cancel(self, id: str, reason: str | None = None) -> Table:
        """Ends a stream; returns its `status` and last `cursor` once it has ended, whichever end won."""
        return done(self._api.cancel(id, reason))

    def read(self, id: str) -> Table:
        """A stream as it is now: `text`, `status`, `cursor` and the other members of its snapshot."""
        return done(self._api.read(id))

    def list(self, limit: int | None = None, before: str | None = None, status: str | None = None) -> Table:
        """The caller's streams, newest first, as `data`, and whether it `has_more` that begin `before` the last id."""
        return done(self._api.list(limit, before, status))

    def delete(self, id: str) -> None:
        """Ends a stream if it is live, and forgets it."""
        done(self._api.delete(id))

    def share(self, id: str, ttl: int | None = None) -> Table:
        """Lets whoever has the returned `url` or `token` read the stream, for `ttl` seconds or the server's default."""
        return done(self._api.share(id, ttl))

    def unshare(self, id: str) -> None:
        """Takes back every link to a stream."""
        done(self._api.unshare(id))

    def presence(self, topic: str) -> builtins.list[Table]:
        """Who is subscribed to a topic: each `principal`, and its number of `connections`."""
        return done(self._api.presence(topic))

    def models(self) -> builtins.list[str]:
        """The names of the server's models."""
        return done(self._api.models())
