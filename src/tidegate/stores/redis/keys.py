"""The names of all keys and channels. What one script touches together has one hash tag, so that a cluster keeps it on
one of its servers."""

from __future__ import annotations

from hashlib import sha256

LAYOUT = 1
"""The version of what the keys hold. A version of tidegate that only adds to it keeps the number, and works beside the
one before. One whose keys that would misread takes the next number, and neither works on the other's."""


class Keys:
    """The keys of one store, all of which begin with its prefix."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.living = self._of("nodes", "living")
        """A sorted set: the nodes by the time, in milliseconds, at which their leases end."""
        self.retiring = self._of("nodes", "retiring")
        """A set: the nodes that are about to leave."""
        self.held = self._of("nodes", "held")
        """A hash: the node that fills a stream, by stream."""
        self.orphans = self._of("nodes", "orphans")
        """A hash: the streams that nobody fills; `1` where they were handed over."""
        self.news = self._of("nodes", "news")
        """The channel of all nodes."""
        self.layout = self._of("nodes", "layout")
        """A number: the version of this page, as the nodes have it that work on these keys."""
        self.all = self._of("streams", "all")
        """A sorted set: all streams by the time, in microseconds, of their creation."""
        self.ended = self._of("streams", "ended")
        """A sorted set: all streams that have ended, by the time, in milliseconds, of their end."""
        self.bytes = self._of("streams", "bytes")
        """A number: what all accounts are charged together."""
        self.topics = self._of("topics", "all")
        """A sorted set: all topics by the time, in milliseconds, of one of their last publications."""

    def _of(self, tag: str, name: str) -> str:
        return f"{self._prefix}:{{{tag}}}:{name}"

    def counts(self, node: str) -> str:
        """A hash: the node's parts of all counts."""
        return self._of("nodes", f"counts:{node}")

    def held_by(self, node: str) -> str:
        """A set: the streams that a node fills."""
        return self._of("nodes", f"held:{node}")

    def mail(self, node: str) -> str:
        """The channel of one node: what others answer it."""
        return self._of("nodes", f"mail:{node}")

    def record(self, stream: str) -> str:
        """A hash: what is known of a stream or topic."""
        return self._of(stream, "record")

    def log(self, stream: str) -> str:
        """A Redis stream: the events of a stream or topic."""
        return self._of(stream, "log")

    def news_of(self, stream: str) -> str:
        """The channel of one stream or topic."""
        return self._of(stream, "news")

    def shares(self, stream: str) -> str:
        """A hash: when each share of a stream expires, by its digest."""
        return self._of(stream, "shares")

    def claims(self, topic: str) -> str:
        """A hash: the position and the body's digest of a topic's events that have an idempotency key, by that key."""
        return self._of(topic, "claims")

    def senders(self, topic: str) -> str:
        """A hash: the bytes that each sender has in a topic, and for how many its account is charged."""
        return self._of(topic, "senders")

    def published(self, topic: str, node: str) -> str:
        """A string: the number of the last batch that a node has published to a topic, and what came of it."""
        return self._of(topic, f"published:{node}")

    def share(self, digest: bytes) -> str:
        """A string: the stream of one share."""
        return self._of(f"share:{digest.hex()}", "stream")

    def claim(self, key: str) -> str:
        """A string: the stream that an idempotency key has started, and the digest of its body."""
        return self._of(f"claim:{sha256(key.encode()).hexdigest()}", "stream")

    def streams_of(self, account: str) -> str:
        """A sorted set: the streams of an owner by the time, in microseconds, of their creation."""
        return self._of(f"account:{account}", "streams")

    def ended_of(self, account: str) -> str:
        """A sorted set: what can be forgotten of an account by the time, in milliseconds, of its end."""
        return self._of(f"account:{account}", "ended")

    def charges_of(self, account: str) -> str:
        """A hash: the bytes that an account is charged, by stream or topic, and their sum."""
        return self._of(f"account:{account}", "charges")

    def bucket(self, name: str, account: str) -> str:
        """A hash: the level of one token bucket."""
        return self._of(f"bucket:{name}:{account}", "level")
