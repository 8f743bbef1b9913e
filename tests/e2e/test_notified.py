"""A real server under something that listens as systemd does."""

from __future__ import annotations

import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from manager_kit import Manager, managing

from tidegate.testing.process import running

MODEL = '[[models]]\nname = "brief"\nprovider = "replay"\n'


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with managing(str(tmp_path / "notify")) as manager:
        yield manager


@pytest.fixture
def environ(manager: Manager, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "tidegate.toml").write_text(MODEL)
    return {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "200000"}


def children_environs(pid: int) -> list[bytes]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [Path(f"/proc/{child}/environ").read_bytes() for child in children]


def test_a_server_is_ready_when_it_answers_and_says_when_it_leaves(
    manager: Manager, environ: dict[str, str], tmp_path: Path
) -> None:
    """From READY=1 on it takes connections, beats follow, and STOPPING=1 comes with the first signal."""
    with running("--config", str(tmp_path / "tidegate.toml"), environ=environ) as server:
        ready = manager.told_of("READY")
        assert ready["STATUS"] == f"accepting connections on {server.url}"
        assert urllib.request.urlopen(server.url + "/readyz", timeout=30).status == 200
        assert manager.told_of("WATCHDOG") == {"WATCHDOG": "1"}
        server.signal(signal.SIGTERM)
        assert "STATUS" in manager.told_of("STOPPING")
        assert server.wait() == 0


@pytest.mark.parametrize("text", [MODEL.replace("brief", "other"), MODEL.replace("replay", "unheard of")])
def test_a_reload_is_told_from_its_beginning_to_its_end(
    manager: Manager, environ: dict[str, str], tmp_path: Path, text: str
) -> None:
    """Also one that finds a fault and changes nothing: the server is as ready as before."""
    with running("--config", str(tmp_path / "tidegate.toml"), environ=environ) as server:
        ready = manager.told_of("READY")
        (tmp_path / "tidegate.toml").write_text(text)
        server.signal(signal.SIGHUP)
        assert int(manager.told_of("RELOADING")["MONOTONIC_USEC"]) > 0
        assert manager.told_of("READY") == ready


def test_of_several_workers_the_parent_speaks(
    manager: Manager, environ: dict[str, str], redis_url: str, tmp_path: Path
) -> None:
    """Once, when all of them take connections; they do not know of systemd."""
    flags = ("--config", str(tmp_path / "tidegate.toml"), "--store", redis_url, "--workers", "2")
    with running(*flags, environ={**environ, "TIDEGATE_STORE__PREFIX": "notified"}) as server:
        assert manager.told_of("READY")["STATUS"].endswith(", 2 workers")
        assert urllib.request.urlopen(server.url + "/readyz", timeout=30).status == 200
        environs = children_environs(server.pid)
        assert len(environs) == 2
        assert not any(b"NOTIFY_SOCKET" in each or b"WATCHDOG" in each for each in environs)
        server.signal(signal.SIGHUP)
        assert manager.told_of("RELOADING")
        assert manager.told_of("READY")
        server.signal(signal.SIGTERM)
        assert manager.told_of("STOPPING")
        assert server.wait() == 0
        assert not any("READY" in message for message in manager.left())
