from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from .__main__ import alone, main
from .calls import Broken, fetch
from .draws import among, draw, over_redis, without_ends
from .history import Event, Kept, Violation
from .jobs import Job
from .plan import KINDS, REDIS_KINDS
from .report import Outcome, rare, table
from .server import UNLIMITED, Server
from .setups import configuration

SEEDS = range(6)

PATIENT = ("--again", "3")
"""Other tests take time from these runs, whose promises have deadlines."""


def test_seeds_keep_every_promise(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever six seeds do to a server, readers have each event once, in order, and nothing acknowledged is lost."""
    code = main([*map(str, SEEDS), "--jobs", "6", *PATIENT])
    assert code == 0, capsys.readouterr().out


def test_four_seeds_keep_every_promise_between_two_nodes(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever happens to one of two nodes over one store, the other goes on with what it had."""
    code = main([*map(str, SEEDS[:4]), "--nodes", "2", "--jobs", "4", *PATIENT])
    assert code == 0, capsys.readouterr().out


def test_seeds_keep_every_promise_over_redis(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever happens to three nodes, to Redis and in between, only what a promoted replica never had is lost."""
    code = main([*map(str, SEEDS), "--store", "redis", "--jobs", "6", *PATIENT])
    assert code == 0, capsys.readouterr().out


def test_thirty_cuts_of_the_write_ahead_log_keep_every_promise(capsys: pytest.CaptureFixture[str]) -> None:
    """Wherever the tail is cut or torn, what was acknowledged before is there, and the store goes on from there."""
    code = main(["--cuts", "30", "--jobs", "1"])
    assert code == 0, capsys.readouterr().out


def test_a_seed_stands_for_one_plan() -> None:
    """Two draws of a seed are the same, and two seeds differ; so it is for several nodes."""
    for drawn in (draw, lambda seed: among(2, draw(seed)), lambda seed: over_redis(3, draw(seed))):
        plans = [[drawn(seed) for seed in range(50)] for _ in range(2)]
        assert plans[0] == plans[1]
        assert len({repr(plan) for plan in plans[0]}) == 50


def test_hundreds_of_seeds_plan_every_fault_of_a_node() -> None:
    """Each of two nodes dies, is paused and drains often enough in three hundred seeds."""
    planned = [(fault.kind, fault.node) for seed in range(300) for fault in among(2, draw(seed)).faults]
    for kind in ("kill", "pause_long", "drain"):
        assert [planned.count((kind, node)) > 50 for node in range(2)] == [True, True]


def test_a_thousand_seeds_plan_every_fault() -> None:
    """Every fault of the server and of the lines is planned often enough in a thousand seeds."""
    planned = [fault.kind for seed in range(1000) for fault in draw(seed).faults]
    assert [kind for kind in set(planned) if planned.count(kind) < 100] == []
    assert set(planned) <= set(KINDS)


def test_hundreds_of_seeds_plan_every_fault_of_redis() -> None:
    """Every fault of Redis, of the nodes and in between is planned often enough in five hundred seeds."""
    planned = [fault.kind for seed in range(500) for fault in over_redis(3, draw(seed)).faults]
    assert [kind for kind in set(planned) if planned.count(kind) < 30] == []
    assert set(planned) <= set(REDIS_KINDS)


def test_a_store_without_a_file_is_not_killed() -> None:
    """The plan for `memory://` has no fault that ends the process."""
    plans = [without_ends(draw(seed)) for seed in range(200)]
    assert not {fault.kind for plan in plans for fault in plan.faults} & {"kill", "kill_twice", "drain"}
    assert not any(plan.kill_at_rest for plan in plans)


@asynccontextmanager
async def serving(folder: Path) -> AsyncGenerator[Server]:
    (folder / "tidegate.toml").write_text(configuration(draw(0), "sqlite:///chaos.db", "http://127.0.0.1:9/v1"))
    died: list[str] = []
    server = Server(folder, died.append)
    await server.start()
    try:
        yield server
    finally:
        await server.close()
    assert died == []


async def created(server: Server) -> tuple[int, Any]:
    body = {"model": "replay-rush", "prompt": "x", "background": True}
    status, _, answer = await fetch(f"{server.url}/v1/streams", "POST", body, patience=10)
    return status, answer


@pytest.mark.anyio
async def test_a_full_disk_and_a_clock_that_jumps_reach_the_server(tmp_path: Path) -> None:
    """A server whose files cannot grow refuses what it would have to keep; one whose clock jumps goes on as before."""
    async with serving(tmp_path) as server:
        assert server.limit_files(0)
        status, answer = await created(server)
        assert (status, answer["error"]["code"]) == (503, "store_unavailable")
        server.limit_files(UNLIMITED)
        server.shift(7200)
        status, answer = await created(server)
        assert status == 202
        assert abs(answer["created_at"] - time.time()) < 60


@pytest.mark.anyio
async def test_a_server_can_be_stopped_killed_and_sent_away(tmp_path: Path) -> None:
    """A stopped server is silent until it goes on; after a kill, and after SIGTERM, another one has its streams."""
    async with serving(tmp_path) as server:
        _, answer = await created(server)
        server.stop()
        with pytest.raises(Broken):
            await fetch(f"{server.url}/healthz", patience=0.2)
        server.go_on()
        assert (await fetch(f"{server.url}/healthz", patience=10))[0] == 200
        await server.kill()
        assert server.port is None
        await server.start()
        assert await server.leave() == 0
        await server.start()
        assert (await fetch(f"{server.url}/v1/streams/{answer['id']}", patience=10))[0] == 200


def outcome(fired: dict[str, int]) -> Outcome:
    return Outcome(0, 1.0, fired, streams=1, readers=2, connections=3, events=4, appends=5, violations=[])


def test_a_fault_that_hardly_fires_is_reported() -> None:
    """A kind of fault that fired fewer than 20 times in all is named, one that fired 20 times is not."""
    often = outcome(dict.fromkeys(KINDS, 10))
    assert rare([often, often]) == {}
    assert rare([often, outcome({**often.fired, "kill": 9})]) == {"kill": 19}
    assert "| kill | 20 |" in table([often, often])


@pytest.mark.parametrize(
    ("starved", "broken", "times"),
    [((), (True,), 1), ((1, 1, 1), (True, True, True), 3), ((1,), (True, False), 2), ((1, 0), (True, True), 2)],
)
def test_a_run_that_was_starved_is_made_again(starved: tuple[int, ...], broken: tuple[bool, ...], times: int) -> None:
    """What it broke may be a deadline that nobody could keep; what a run breaks that had its time is broken."""
    made = [
        msgspec.structs.replace(
            outcome({"starved": 1} if at < len(starved) and starved[at] else {}),
            violations=[Violation("late end", "gen_1", "waited")] if late else [],
        )
        for at, late in enumerate(broken)
    ]
    runs = iter(made)
    assert alone(Job(0, "memory://"), 3, lambda _: next(runs)) == made[times - 1]
    assert list(runs) == made[times:]


@pytest.mark.parametrize("rule", ["lost append", "order", "log order", "one end", "wrong text", "lost message"])
def test_what_is_lost_is_lost_on_any_machine(rule: str) -> None:
    """No run that broke a promise about loss or order is forgiven, however little time it had."""
    late, lost = Violation("late end", "gen_1", "waited"), Violation(rule, "gen_1", "event 7")
    run = msgspec.structs.replace(outcome({"starved": 1}), violations=[late, lost])
    assert not run.says_little
    assert alone(Job(0, "memory://"), 3, lambda _: run) == run


def test_an_event_knows_its_place() -> None:
    """The id of an event is its epoch and its offset."""
    event = Event("delta", {"text": "x"}, "5k2q-13")
    assert (event.epoch, event.offset) == ("5k2q", 13)
    assert Kept("gen_1", [event]).events == [event]
