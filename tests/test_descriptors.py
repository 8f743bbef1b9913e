"""What a server is given to start with: its standard streams, and how many files it may open."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tidegate.testing.process import TIDEGATE, running

CONFIG = '[[models]]\nname = "m"\nprovider = "replay"\n'


def started_by_shell(before: str, after: str = "") -> tuple[str, ...]:
    return ("sh", "-c", f'{before} exec "$@" {after}', "sh", *TIDEGATE, "serve", "--port", "0", "--store", "memory://")


def test_a_server_serves_without_standard_streams(tmp_path: Path) -> None:
    """Some supervisors close them; the first sockets would get their numbers."""
    (config := tmp_path / "t.toml").write_text(CONFIG)
    with running("--config", str(config), command=started_by_shell("", "<&- 2>&-")) as server:
        assert server.ready
        assert httpx.get(server.url + "/healthz").status_code == 200
        server.signal()
        assert server.wait() == 0


def test_too_few_files_are_said_in_one_line(tmp_path: Path) -> None:
    """With what there is and what is needed, in place of whichever error the first missing file leads to."""
    (config := tmp_path / "t.toml").write_text(CONFIG)
    with running("--config", str(config), command=started_by_shell("ulimit -n 40;")) as server:
        assert server.wait() == 1
        assert server.stderr() == (
            "tidegate: this process may open only 40 files, and needs 64: raise its limit (ulimit -n)\n"
        )


@pytest.mark.parametrize("workers", ["0", "257"])
def test_workers_are_bounded(tmp_path: Path, workers: str) -> None:
    """A slip must not start a thousand processes."""
    (config := tmp_path / "t.toml").write_text(CONFIG)
    with running("--config", str(config), "--workers", workers, command=started_by_shell("")) as server:
        assert server.wait() == 2
        assert f"server.workers = {workers} (--workers): expected `int`" in server.stderr()
