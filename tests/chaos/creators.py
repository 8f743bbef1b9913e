"""Those who start generations, and those who stop them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from .calls import Answer, Broken, call, fetch
from .history import TERMINAL, Cancelling, Reading
from .plan import OwnPlan, StreamPlan
from .proxy import Line
from .readers import Follower
from .world import World

AGAIN_SECONDS = 0.1

LATER = (429, 502, 503, 504)
"""Statuses of what may be asked for again."""

CREATE_PATIENCE = 1.5


async def create(world: World, plan: StreamPlan) -> None:
    """Creates the plan's stream: again with the same key after an uncertain answer, and sometimes after a sure one."""
    line = await world.line(plan.name)
    await asyncio.sleep(plan.at)
    creator = _Creator(world, line, plan)
    while not world.over and not world.id_of(plan.name).done():
        certain = await creator.ask()
        if not certain and not creator.key:
            # It may exist, under an id that nobody has been told.
            break
        await asyncio.sleep(0 if world.id_of(plan.name).done() else AGAIN_SECONDS)
    if not (known := world.id_of(plan.name)).done():
        known.set_result(None)
    # What hangs is known to its canceller by its first id, which another may replace where that is lost.
    if plan.keyed == "repeated" and not (plan.how.fault == "hang" and world.plan.may_lose):
        await asyncio.sleep(world.random(f"{plan.name} again").uniform(0.1, 1.0))
        world.fired("repeated_create")
        await creator.repeat()


class _Creator:
    def __init__(self, world: World, line: Line, plan: StreamPlan) -> None:
        self._world = world
        self._line = line
        self._plan = plan
        self.key = "" if plan.keyed == "no" else f"key-{world.plan.seed}-{plan.name}"
        self._body = _body(plan)
        self._headers = {"idempotency-key": self.key} if self.key else {}

    async def ask(self) -> bool:
        """One request, and what follows from its answer; whether it was certain what became of it."""
        # A whole answer has no head before its end.
        patience = CREATE_PATIENCE + (3.0 if self._plan.mode == "whole" else 0.0)
        try:
            async with call(
                f"{self._line.url}/v1/streams", "POST", self._body, self._headers, patience=patience
            ) as answer:
                await self._take(answer)
        except (Broken, OSError, asyncio.IncompleteReadError, TimeoutError):
            return self._world.id_of(self._plan.name).done()
        return True

    async def repeat(self) -> None:
        """The same once more, and something else under the same key, unless the key may have been lost."""
        for ask in (self.ask, *[self._ask_otherwise] * (not self._world.plan.may_lose)):
            certain = False
            while not (self._world.over or certain):
                certain = await ask()
                await asyncio.sleep(0 if certain else AGAIN_SECONDS)

    async def _ask_otherwise(self) -> bool:
        """Another body under the same key; whether it was answered."""
        body = {**self._body, "max_tokens": 7}
        try:
            status, _, answer = await fetch(f"{self._line.url}/v1/streams", "POST", body, self._headers)
        except Broken:
            return False
        self._world.judge_status(self._plan.name, status, answer)
        if status not in (409, *LATER):
            self._world.problem("one key, two bodies", self._plan.name, f"answered {status}: {str(answer)[:200]}")
        return status not in LATER

    async def _take(self, answer: Answer) -> None:
        stream = answer.headers.get("tidegate-stream")
        if stream is not None and answer.status != 404:
            self._world.created(self._plan.name, self.key, stream)
        if answer.headers.get("content-type", "").startswith("text/event-stream") and stream is not None:
            reading = Reading(f"{self._plan.name} itself", stream)
            self._world.history.readings.append(reading)
            follower = Follower(self._world, lambda: self._line.url, reading)
            try:
                await follower.take(answer)
            finally:
                await follower.follow()
            return
        async with asyncio.timeout(CREATE_PATIENCE):
            content = await answer.body()
        body: dict[str, Any] = json.loads(content) if content else {}
        if stream is not None and "cursor" in body:
            self._world.look(stream, "creation", body)
        elif answer.status not in LATER and not (answer.status == 404 and self._world.plan.may_lose):
            what = f"answered {answer.status} without a stream: {str(body)[:300]}"
            self._world.problem("refused creation", self._plan.name, what)


def _body(plan: StreamPlan) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": plan.model,
        "prompt": plan.how.prompt(),
        "metadata": {"name": plan.name},
        "background": plan.mode == "background",
        "stream": plan.mode == "stream",
    }
    if plan.model.startswith("replay"):
        body["max_tokens"] = plan.how.tokens
    if plan.grace is not None:
        body["on_disconnect"] = {"grace_seconds": plan.grace}
    elif plan.mode == "whole":
        body["on_disconnect"] = "keep"
    if plan.batch is not None:
        body["batch"] = plan.batch
    return body


async def cancel(world: World, plan: StreamPlan | OwnPlan) -> None:
    """Cancels the plan's stream at its time, until it is told how the stream has ended.

    Where there are several nodes it asks one of them past all lines: whom, and for how long, is noted.
    """
    line = await world.line(f"{plan.name} cancel")
    stream = await world.stream(plan.name)
    if stream is None or plan.cancel_at is None:
        return
    await asyncio.sleep(plan.cancel_at)
    world.fired("cancel")
    rng = world.random(f"{plan.name} cancel")
    while not world.over:
        node, asked_at = world.ready_node(rng), world.now()
        base = line.url if world.plan.nodes == 1 else world.nodes[node].url
        try:
            url = f"{base}/v1/streams/{stream}/cancel"
            status, _, body = await fetch(url, "POST", {"reason": "chaos"}, patience=world.plan.lease_seconds + 3)
        except Broken:
            await asyncio.sleep(AGAIN_SECONDS)
            continue
        if world.plan.nodes > 1:
            world.history.cancellings.append(Cancelling(stream, node, asked_at, world.now(), status))
        world.judge_status(f"cancel of {stream}", status, body)
        if status == 200:
            world.look(stream, "cancel", body)
            if body["status"] not in TERMINAL:
                world.problem("cancel", stream, f"was answered before the end: {body}")
            return
        if status not in LATER:
            world.problem("cancel", stream, f"answered {status}: {str(body)[:300]}")
            return
        await asyncio.sleep(AGAIN_SECONDS)
