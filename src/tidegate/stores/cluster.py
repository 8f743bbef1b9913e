"""The port between the nodes over one store: what each must know of the others.

A node is one process, or one application, that works on a store. With one node there is nothing to know; the embedded
stores have nodes all the same (`local_cluster`), so that whatever holds between two applications over one memory store
holds between machines.

- A stream is filled by one node, which *holds* it for as long as it renews that. What nobody holds any more, although
  it has no end, is an *orphan*, and is offered to the nodes that live.
- *Counts* are kept by what they are of, and each node has its part in them: it goes with the node.
- *Commands* reach the other nodes that live, at most once. Whoever tells one has another way to see that it was done:
  the stream's end, a count.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from tidegate.core.bucket import Buckets
from tidegate.core.events import CancelledBy
from tidegate.stores.records import StreamRecord, Unwatch


class Cancel(msgspec.Struct, frozen=True, tag=True):
    """Whoever fills the stream is to end it."""

    stream: str
    by: CancelledBy
    reason: str | None = None


class Moved(msgspec.Struct, frozen=True, tag=True):
    """The stream is filled elsewhere from now on: whoever filled it lets go of it, without an end."""

    stream: str


class Revoked(msgspec.Struct, frozen=True, tag=True):
    """The stream's share tokens are void: who reads by one is to be sent away."""

    stream: str


class Orphan(msgspec.Struct, frozen=True):
    """A stream without an end that nobody fills.

    `handed_over`: whoever filled it has stopped, and has asked its readers to come to the other nodes.
    """

    record: StreamRecord
    handed_over: bool = False


Command = Cancel | Moved | Revoked

Count = Literal["generations", "seats", "owner readers", "readers", "present"]
"""What is counted: live streams and readers of an account; owner readers, and all readers, of a stream; the connections
of each principal in a topic."""


class Cluster(Protocol):
    """The nodes over one store, as one of them, `node`, has them."""

    @property
    def node(self) -> str: ...

    @property
    def others(self) -> int:
        """How many other nodes live, as far as is known."""
        ...

    def hold(self, stream: str) -> None:
        """This node fills the stream from now on, or is about to: it says so before it creates or acquires it.

        Should it die in between, the stream is an orphan as any other; one that is not there is nobody's.
        """
        ...

    def holds(self, stream: str) -> bool:
        """Whether this node does so, as far as it knows."""
        ...

    def let_go(self, stream: str) -> None:
        """It does so no more: the stream has ended, or is another's."""
        ...

    async def hand_over(self, stream: str) -> None:
        """The stream is an orphan from now on. Its fence is void as soon as another node has acquired it."""
        ...

    async def renew(self) -> Sequence[str]:
        """Shows that this node lives; the streams that it has held and others hold now, or nobody.

        Who does not come for `lease_seconds` has lost all of them, and its parts of all counts.
        """
        ...

    def orphans(self) -> AsyncIterator[Orphan]:
        """The streams that nobody holds, each as soon as that is known, for as long as the node lives.

        Each is offered to one node, which holds it from then on: it acquires it, or lets go of it.
        """
        ...

    def tell(self, command: Command) -> None:
        """Sends a command to all other nodes."""
        ...

    def listen(self, on_command: Callable[[Command], None]) -> Unwatch:
        """Calls it on the loop's thread with each command of another node."""
        ...

    def add(self, what: Count, key: str, change: int, member: str = "") -> None:
        """Changes this node's part by so many."""
        ...

    def counts(self, what: Count, key: str) -> Mapping[str, int]:
        """How many all nodes have, by member; answered at once, from what the others have told last."""
        ...

    def total(self, what: Count, key: str) -> int:
        """How many all nodes have, of all members."""
        ...

    def watch(self, what: Count, key: str, wake: Callable[[], None]) -> None:
        """Calls `wake` whenever the counts have changed, whoever has changed them, until `unwatch` is called with it.

        A function that undoes it would be kept for every live stream.
        """
        ...

    def unwatch(self, what: Count, key: str, wake: Callable[[], None]) -> None:
        """Harmless where it is not watched."""
        ...

    def buckets(self, name: str, rate: float, capacity: float) -> Buckets:
        """Buckets by account that all nodes take from."""
        ...

    async def leave(self) -> None:
        """The node is gone: its parts of all counts go, and what it still holds is an orphan."""
        ...
