"""Those who fill a stream themselves over HTTP, and those who have no right to."""

from __future__ import annotations

import asyncio
from typing import Any

from .calls import Broken, fetch
from .history import Append, Lease
from .plan import OwnPlan
from .proxy import Line
from .world import World

AGAIN_SECONDS = 0.05

PATIENCE = 0.6

LATE_SECONDS = 1.4
"""So long after its lease is over a late producer tries to go on."""

END = {
    "type": "completed",
    "data": {
        "finish_reason": "stop",
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "estimated": False},
    },
}


async def produce(world: World, plan: OwnPlan) -> None:
    """Opens the plan's stream and fills it, after its habit."""
    line = await world.line(plan.name)
    await asyncio.sleep(plan.at)
    producer = _Producer(world, line, plan)
    if await producer.open():
        await producer.fill()


class _Producer:
    def __init__(self, world: World, line: Line, plan: OwnPlan) -> None:
        self._world = world
        self._line = line
        self._plan = plan
        self._stream = ""
        self._tokens: list[str] = []
        self._position = 1

    async def open(self) -> bool:
        """Opens the stream, or opens it once more; false where there is nothing to be filled any more."""
        key = f"key-{self._world.plan.seed}-{self._plan.name}"
        body = {"producer": "client", "metadata": {"name": self._plan.name}}
        while not self._world.over:
            try:
                status, _, answer = await fetch(
                    f"{self._line.url}/v1/streams", "POST", body, {"idempotency-key": key}, patience=PATIENCE
                )
            except Broken:
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            if status == 201:
                return self._opened(key, answer)
            self._world.judge_status(self._plan.name, status, answer)
            if status not in (429, 502, 503, 504):
                self._world.problem("refused creation", self._plan.name, f"answered {status}: {str(answer)[:300]}")
                break
            await asyncio.sleep(AGAIN_SECONDS)
        if not (known := self._world.id_of(self._plan.name)).done():
            known.set_result(None)
        return False

    async def fill(self) -> None:
        """Appends batch after batch, until the end or until it is told that the stream is not its own any more."""
        words = self._plan.words
        done = 0
        for index, (size, pause) in enumerate(zip(self._plan.batches, self._plan.pauses, strict=True)):
            await asyncio.sleep(pause)
            if index == len(self._plan.batches) // 2 and not await self._habit():
                return
            events = [{"type": "delta", "data": {"text": word}} for word in words[done : done + size]]
            done += size
            if not await self._append(len(self._tokens), events):
                return
        await self._append(len(self._tokens), [END])

    async def _habit(self) -> bool:
        """What happens in the middle; whether it goes on."""
        habit = self._plan.habit
        if habit == "dies":
            self._world.fired("producer_dies")
            return False
        if habit == "late":
            self._world.fired("producer_late")
            await asyncio.sleep(self._world.plan.lease_seconds + LATE_SECONDS)
        elif habit == "returns":
            self._world.fired("producer_returns")
            await asyncio.sleep(self._plan.away)
            return await self.open()
        elif habit == "rival":
            self._world.fired("rival_append")
            await self._intrude(0)
        elif habit == "usurped":
            usurped = len(self._tokens)
            if not await self.open():
                return False
            self._world.fired("producer_usurped")
            if not self._world.plan.may_lose:
                # Else the lease that replaced it may be lost, and this one be good.
                await self._intrude(usurped)
        return True

    async def _intrude(self, lease: int) -> None:
        """One append with a lease that is no longer, or never was, the stream's."""
        await self._send(lease, [{"type": "delta", "data": {"text": "INTRUDER"}}], self._world.now())

    async def _append(self, lease: int, events: list[dict[str, Any]]) -> bool:
        """Appends with the lease of this number, again after an uncertain answer; false when that is over."""
        first_sent_at = self._world.now()
        while not self._world.over:
            status = await self._send(lease, events, first_sent_at)
            if status == 200:
                self._position += len(events)
                return True
            if status in (400, 404, 409, 413):
                return False
            await asyncio.sleep(AGAIN_SECONDS)
        return False

    async def _send(self, lease: int, events: list[dict[str, Any]], first_sent_at: float) -> int:
        """One request; 0 where nothing was answered."""
        sent_at = self._world.now()
        body = {
            "lease": self._tokens[lease - 1] if lease else "no-such-lease",
            "expected_offset": self._position,
            "events": events,
        }
        try:
            url = f"{self._line.url}/v1/streams/{self._stream}/append"
            status, _, answer = await fetch(url, "POST", body, patience=PATIENCE)
        except Broken:
            return 0
        self._note(lease, events, first_sent_at, sent_at, status, answer)
        return status

    def _opened(self, key: str, answer: dict[str, Any]) -> bool:
        self._stream = answer["id"]
        self._world.created(self._plan.name, key, self._stream)
        self._world.look(self._stream, "creation", answer)
        lease = answer["lease"]
        if lease is None:
            return False
        self._tokens.append(lease["token"])
        now = self._world.now()
        self._world.history.leases.append(Lease(self._stream, len(self._tokens), lease["seconds"], now))
        return True

    def _note(
        self,
        lease: int,
        events: list[dict[str, Any]],
        first_sent_at: float,
        sent_at: float,
        status: int,
        answer: dict[str, Any],
    ) -> None:
        self._world.judge_status(f"append to {self._stream}", status, answer)
        code = None if status == 200 else answer.get("error", {}).get("code")
        # Nodes that have different masters, or have lost one, do not know the same streams.
        unknown = status == 404 and self._world.plan.may_lose
        if status in (400, 404, 413) and not unknown:
            self._world.problem("refused append", self._stream, f"answered {status}: {str(answer)[:300]}")
        self._world.history.appends.append(
            Append(
                stream=self._stream,
                lease=lease,
                expected=self._position,
                events=events,
                first_sent_at=first_sent_at,
                sent_at=sent_at,
                answered_at=self._world.now(),
                status=status,
                cursor=answer.get("cursor") if status == 200 else None,
                code=code,
            )
        )
