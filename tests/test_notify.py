"""What systemd is told, over a real socket."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from eventually_kit import eventually
from manager_kit import Manager, managing

from tidegate.notify import END_SECONDS, ServiceManager, service_manager

pytestmark = pytest.mark.anyio

SOON = 0.01
"""A watchdog's patience that lets many beats into a short test."""


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with managing(str(tmp_path / "notify")) as manager:
        yield manager


async def test_readiness_comes_with_words(manager: Manager) -> None:
    """`systemctl status` shows the words."""
    ServiceManager(manager.address).ready("accepting connections")
    assert manager.left() == [{"READY": "1", "STATUS": "accepting connections"}]


async def test_an_abstract_socket_is_as_good() -> None:
    """systemd names one with an @ in front where it runs for a user, and in containers."""
    with managing(f"@tidegate-{os.getpid()}") as manager:
        ServiceManager(manager.address).ready("x")
        assert manager.told()["READY"] == "1"


async def test_a_reload_says_when_it_began_on_the_machines_clock(manager: Manager) -> None:
    """By the time `Type=notify-reload` tells this reload from an earlier one."""
    ours, before = ServiceManager(manager.address), time.monotonic_ns() // 1000
    ours.ready("accepting connections")
    with ours.reloading():
        _, message = manager.left()
    assert message["RELOADING"] == "1"
    assert before <= int(message["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
    assert manager.left() == [{"READY": "1", "STATUS": "accepting connections"}]


async def test_a_drain_asks_for_the_time_it_may_take(manager: Manager) -> None:
    """A TimeoutStopSec= that is shorter than `drain_seconds` cuts no answer off."""
    stopping, told = asyncio.Event(), list[dict[str, str]]()
    async with ServiceManager(manager.address).attended(stopping, 300):
        await asyncio.sleep(0)
        assert manager.left() == []
        stopping.set()
        await eventually(lambda: told.extend(manager.left()) or told)
    assert told[0]["STOPPING"] == "1"
    assert int(told[0]["EXTEND_TIMEOUT_USEC"]) == (300 + END_SECONDS) * 1_000_000
    assert "300 s" in told[0]["STATUS"]


async def test_after_a_stop_has_begun_nobody_is_told_of_readiness(manager: Manager) -> None:
    """A reload that ends meanwhile would have the status say that connections are accepted."""
    ours = ServiceManager(manager.address)
    with ours.reloading():
        manager.told_of("RELOADING")
        ours.stopping(1)
        manager.told_of("STOPPING")
    assert manager.left() == []


async def test_a_manager_that_reads_nothing_holds_no_loop_up(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    """A beat that finds no room is left out: the next one is on its way."""
    monkeypatch.setattr("tidegate.notify.SEND_SECONDS", 60.0)
    ours = ServiceManager(manager.address, watchdog_seconds=1e-6)
    beating = asyncio.create_task(ours._beat())
    turns = 0
    async with asyncio.timeout(50):
        while turns < 5000:
            await asyncio.sleep(0)
            turns += 1
    beating.cancel()
    assert 0 < len(manager.left()) < 5000


async def test_the_watchdog_hears_of_a_loop_that_turns(manager: Manager) -> None:
    """And of none that hangs, or is left."""
    async with ServiceManager(manager.address, SOON).attended(asyncio.Event(), 30):
        heard: list[dict[str, str]] = []
        await eventually(lambda: heard.extend(manager.left()) or len(heard) >= 3)
        assert all(message == {"WATCHDOG": "1"} for message in heard)
        manager.left()
        with pytest.raises(TimeoutError):
            # Blocks this loop for ten times the patience.
            manager.told(within=10 * SOON)
        await eventually(manager.left)
    manager.left()
    await asyncio.sleep(0)
    assert manager.left() == []


@pytest.mark.parametrize("address", ["", "relative", "vsock:2:1234"])
async def test_without_a_socket_of_a_kind_that_is_known_nobody_is_told(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A server in a terminal tells nobody, and says nothing of it."""
    manager = service_manager({"NOTIFY_SOCKET": address})
    manager.ready("x")
    with manager.reloading():
        manager.stopping(1)
    assert not caplog.records


async def test_a_manager_that_is_gone_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A server that serves does not end because nobody hears it."""
    ServiceManager(str(tmp_path / "nobody")).ready("x")
    assert [record.message for record in caplog.records] == [
        "the service manager cannot be told READY=1: No such file or directory"
    ]


async def test_children_do_not_inherit_whom_to_tell() -> None:
    """A model's process that knows sd_notify cannot speak for the server."""
    environ = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid()), "HOME": "/"}
    assert service_manager(environ).watchdog_seconds == 30
    assert environ == {"HOME": "/"}


@pytest.mark.parametrize(
    "environ",
    [
        {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"},
        {"WATCHDOG_USEC": "soon"},
        {},
    ],
)
async def test_a_watchdog_for_another_process_or_none_hears_nothing(environ: dict[str, str], manager: Manager) -> None:
    """WATCHDOG_PID says for whom the variables are: a wrapper script's are not ours."""
    ours = service_manager({"NOTIFY_SOCKET": manager.address, **environ})
    async with ours.attended(asyncio.Event(), 30):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert manager.left() == []
