"""What the clients and the faults of one run share: the nodes, the lines to them, the time and the history."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from random import Random

from .history import Created, Fired, History, Look, Problem
from .node import Node
from .plan import Plan
from .proxy import Line
from .server import Server


class World:
    """One run as it goes on. `over` is set when clients have to give up. One node is `tidegate serve`.

    `ended` is when streams have ended, as was said of each last.
    """

    def __init__(self, plan: Plan, nodes: Sequence[Server | Node], history: History) -> None:
        self.plan = plan
        self.nodes = nodes
        self.history = history
        self.lines: dict[str, Line] = {}
        self.over = False
        self.ended: dict[str, float] = {}
        self._ids: dict[str, asyncio.Future[str | None]] = {}
        self._begun = time.monotonic()
        self._begun_at = time.time()
        self._balance = self.random("balance")

    def now(self) -> float:
        """Seconds since the run began."""
        return self.since_begin(time.monotonic())

    def since_begin(self, monotonic: float) -> float:
        return monotonic - self._begun

    @property
    def server(self) -> Server | Node:
        """One of the nodes that are ready; the first where none is."""
        return self.nodes[self.ready_node(self._balance)]

    def ready_node(self, rng: Random, wanted: int | None = None) -> int:
        """The number of a node that is ready: the wanted one where it is, else as a balancer draws it."""
        ready = [number for number, node in enumerate(self.nodes) if node.port is not None]
        if wanted in ready:
            return wanted
        return rng.choice(ready) if ready else 0

    def random(self, purpose: str) -> Random:
        """Draws of one purpose, which no other's are mixed with."""
        return Random(f"{self.plan.seed} {purpose}")

    async def line(self, name: str) -> Line:
        """The line of a client of this name."""
        rng = self.random(f"line {name}")
        line = Line(lambda: self.nodes[self.ready_node(rng)].port)
        await line.open()
        self.lines[name] = line
        return line

    def id_of(self, name: str) -> asyncio.Future[str | None]:
        """The id of the stream that the plan names so, once it is known; None when it never will be."""
        return self._ids.setdefault(name, asyncio.get_running_loop().create_future())

    async def stream(self, name: str) -> str | None:
        """Waits for the id of the stream that the plan names so; None when nobody will ever be told."""
        return await asyncio.shield(self.id_of(name))

    def known(self) -> list[str]:
        """The ids that clients know."""
        done = [future.result() for future in self._ids.values() if future.done()]
        return [stream for stream in done if stream is not None]

    def created(self, name: str, key: str, stream: str) -> None:
        """Notes an answer to a creation."""
        self.history.created.append(Created(key, stream, self.now()))
        if not (future := self.id_of(name)).done():
            future.set_result(stream)

    def look(self, stream: str, source: str, answer: dict[str, object]) -> None:
        """Notes what an answer said of a stream."""
        text, ended_at = answer.get("text"), answer.get("ended_at")
        if isinstance(ended_at, float | int):
            self.ended[stream] = ended_at - self._begun_at
        self.history.looks.append(
            Look(
                stream=stream,
                source=source,
                at=self.now(),
                status=str(answer["status"]),
                cursor=str(answer["cursor"]),
                text=text if isinstance(text, str) else None,
            )
        )

    def fired(self, kind: str, detail: str = "") -> None:
        self.history.fired.append(Fired(kind, round(self.now(), 3), detail))

    def problem(self, rule: str, subject: str, what: str) -> None:
        self.history.problems.append(Problem(rule, subject, what))

    def judge_status(self, subject: str, status: int, body: object) -> None:
        """An answer of 500 is a bug of the server, whatever was asked."""
        if status == 500:
            self.problem("internal error", subject, str(body)[:300])
