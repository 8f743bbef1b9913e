"""Counts over all nodes: this node's own parts, and those that the others tell of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from tidegate.stores.cluster import Count
from tidegate.stores.parts import Part, sums, total
from tidegate.stores.redis.keys import Keys
from tidegate.stores.redis.link.shards import Shards
from tidegate.stores.redis.nodes.kept_parts import kept_parts
from tidegate.stores.redis.nodes.lease import Lease
from tidegate.stores.redis.nodes.messages import Counted
from tidegate.stores.redis.nodes.own_parts import OwnParts
from tidegate.stores.redis.nodes.peer import Peer
from tidegate.stores.watchers import CountWatchers


class Counts:
    """Sums over `node` and the others that are alive. `known` is called when all parts of another one are known."""

    def __init__(self, shards: Shards, keys: Keys, node: str, lease: Lease, *, known: Callable[[], None]) -> None:
        self.watchers = CountWatchers()
        self._shards = shards
        self._keys = keys
        self._known = known
        self._own = OwnParts(shards, keys, node, lease)
        self._peers: dict[str, Peer] = {}
        self._hears = False

    @property
    def are_known(self) -> bool:
        """Whether the parts of all other nodes are known."""
        return self._hears and all(peer.is_known for peer in self._peers.values())

    def add(self, what: Count, key: str, change: int, member: str) -> None:
        """See `Cluster.add`."""
        self._own.add(what, key, change, member)
        self.watchers.changed(what, key)

    def sums(self, what: Count, key: str) -> Mapping[str, int]:
        """See `Cluster.counts`."""
        return sums(self._parts_of(what, key))

    def total(self, what: Count, key: str) -> int:
        """See `Cluster.total`."""
        return total(self._parts_of(what, key))

    def hear(self, news: Counted) -> None:
        """Takes a message of another node; one that is not known to live counts nothing."""
        if (peer := self._peers.get(news.sender)) is not None:
            peer.hear(news)

    def join(self) -> None:
        """Others are told of this node's parts from now on."""
        self._own.join()

    def leave(self) -> None:
        """This node's parts disappear for others, and theirs are not followed any more."""
        self._own.leave()
        self._hears = False
        for peer in self._peers.values():
            peer.stop()

    def begin_to_hear(self) -> None:
        """Messages come from now on: reads what earlier ones may have told."""
        self._hears = True
        for peer in self._peers.values():
            peer.read()
        self.tell_again()

    def tell_again(self) -> None:
        """Tells others what Redis does not know of this node."""
        self._own.tell_again()

    def meet(self, others: frozenset[str]) -> None:
        """Follows the nodes that have come, and drops the parts of those that are gone."""
        for node in self._peers.keys() - others:
            self._part(self._peers.pop(node))
        for node in others - self._peers.keys():
            read = partial(kept_parts, self._shards, self._keys, node)
            peer = self._peers[node] = Peer(read, self.watchers.changed, self._known)
            if self._hears:
                peer.read()

    def _part(self, peer: Peer) -> None:
        peer.stop()
        for what, key in peer.parts.counted():
            self.watchers.changed(what, key)

    def _parts_of(self, what: Count, key: str) -> Iterator[Part]:
        yield self._own.parts.of(what, key)
        for peer in self._peers.values():
            yield peer.parts.of(what, key)
