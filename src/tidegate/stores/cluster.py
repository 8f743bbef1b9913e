"""The port between the nodes over one store: what each must know of the others.

A node is one process, or one application, that works on a store. The embedded stores implement the port within one
process (`local_cluster`), so that whatever holds between two applications over one memory store holds between machines.

- A stream is filled by one node, which *holds* it for as long as the node renews its lease. A live stream that no node
  holds any more is an *orphan*, and is offered to the nodes that are alive.
- *Counts* are sums over the nodes: each node has its part in them, which disappears with the node.
- *Commands* reach the other living nodes at most once. The sender has another way to see that a command was carried
  out: the stream's end, or a count.
- *Questions* are for what no store keeps, such as who is connected where: each node answers for itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from tidegate.core.bucket import Buckets
from tidegate.core.events import CancelledBy
from tidegate.stores.records import StreamRecord, Unwatch


class Cancel(msgspec.Struct, frozen=True, tag=True):
    """Asks the node that fills the stream to end it."""

    stream: str
    by: CancelledBy
    reason: str | None = None


class Moved(msgspec.Struct, frozen=True, tag=True):
    """Tells the node that filled the stream that another one fills it now: it stops, without writing an end."""

    stream: str


class Revoked(msgspec.Struct, frozen=True, tag=True):
    """The stream's share tokens are void: readers that have one are to be sent away."""

    stream: str


class Orphan(msgspec.Struct, frozen=True):
    """A stream without an end that no node fills.

    `handed_over` says that the node that filled it has stopped, and has asked its readers to go to other nodes.
    """

    record: StreamRecord
    handed_over: bool = False


Command = Cancel | Moved | Revoked

Count = Literal["generations", "seats", "owner readers", "readers", "present"]
"""What is counted, in this order: the live streams of an account, its readers; the owner readers of a stream, all its
readers; the connections of each principal to a topic."""

ANSWER_SECONDS = 1.0
"""How long answers are waited for. Nodes answer from memory: one that takes longer hangs, or is cut off."""

MAX_ANSWER_BYTES = 1 << 20
"""The longest answer: a thousand connections with three streams each. One that is longer counts as none."""


class Cluster(Protocol):
    """The nodes over one store, as seen by one of them: `node`."""

    @property
    def node(self) -> str: ...

    @property
    def others(self) -> int:
        """How many other nodes are alive, as far as is known."""
        ...

    @property
    def successors(self) -> int:
        """How many of the others take over what this node hands over, i.e. those that do not retire."""
        ...

    @property
    def is_last(self) -> bool:
        """Whether no other node works on the same store object: then it is closed when this one has left."""
        ...

    @property
    def orphaned(self) -> int:
        """How many streams no node fills, as far as is known; also one that this node is about to be offered."""
        ...

    def retire(self) -> None:
        """Says that this node is about to leave, and no successor of the others until it has left and renews again."""
        ...

    def hold(self, stream: str) -> None:
        """Says that this node fills the stream from now on; called before the node creates or acquires it.

        If the node dies in between, the stream is an ordinary orphan, or does not exist. Once the node has left, a
        stream that no other node holds is an orphan, until the node renews again.
        """
        ...

    def holds(self, stream: str) -> bool:
        """Whether this node holds the stream, as far as it knows."""
        ...

    def let_go(self, stream: str) -> None:
        """Says that this node holds the stream no longer: it has ended, or another node fills it."""
        ...

    async def hand_over(self, stream: str) -> None:
        """Makes the stream an orphan. Its fence is void as soon as another node has acquired the stream."""
        ...

    async def renew(self) -> Sequence[str]:
        """Renews this node's lease; returns the streams that it has lost since, to another node or to none.

        A node that does not renew for `lease_seconds` loses all its streams, and its parts of all counts.
        """
        ...

    def orphans(self) -> AsyncIterator[Orphan]:
        """Yields streams that no node holds, as soon as that is known, for as long as this node lives.

        Each is offered to one node, which holds it from then on, and either acquires the stream or lets go of it.
        """
        ...

    def tell(self, command: Command) -> None:
        """Sends a command to all other nodes."""
        ...

    def listen(self, on_command: Callable[[Command], None]) -> Unwatch:
        """Calls `on_command` on the loop's thread with each command of another node."""
        ...

    async def ask(self, question: bytes) -> Mapping[str, bytes]:
        """Asks all other living nodes, and returns what each has answered within `ANSWER_SECONDS`, by node.

        A node is missing if it was too slow, listens to no questions, has failed, or said more than `MAX_ANSWER_BYTES`.
        """
        ...

    def answer(self, on_question: Callable[[bytes], bytes]) -> Unwatch:
        """Calls `on_question`, which must be quick, on the loop's thread with each question of another node, and sends
        what it returns to that node. A node has one; it may be given before the store is opened."""
        ...

    def add(self, what: Count, key: str, change: int, member: str = "") -> None:
        """Adds `change` to this node's part of a count."""
        ...

    def counts(self, what: Count, key: str) -> Mapping[str, int]:
        """The count over all nodes, by member; answered at once, from what the other nodes have told last."""
        ...

    def total(self, what: Count, key: str) -> int:
        """The count over all nodes and members."""
        ...

    def watch(self, what: Count, key: str, wake: Callable[[], None]) -> None:
        """Calls `wake` whenever a node has changed the counts, until `unwatch` is called with it.

        It returns no function to undo this, since one would be kept in memory for every live stream.
        """
        ...

    def unwatch(self, what: Count, key: str, wake: Callable[[], None]) -> None:
        """Undoes `watch`. Harmless where `wake` does not watch."""
        ...

    def buckets(self, name: str, rate: float, capacity: float) -> Buckets:
        """Token buckets by account that all nodes share."""
        ...

    async def leave(self) -> None:
        """Leaves the cluster: this node's parts of all counts disappear, and the streams it still holds are orphans."""
        ...
