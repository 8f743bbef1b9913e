"""The examples in Python, and the code in docs/python.md, run as a user would."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from eventually_kit import eventually

from tidegate.client import Client

EXAMPLES = Path(__file__).parents[2] / "examples"


def command(name: str, *arguments: str) -> list[str]:
    return [sys.executable, str(EXAMPLES / name), *arguments]


def test_a_log_is_fed_and_followed_by_who_comes_back(server: Callable[[str], str], tmp_path: Path) -> None:
    """Lines reach who follows; a follower that was killed prints what came meanwhile, and nothing twice."""
    url = server('[store]\nurl = "memory://"\n[[models]]\nname = "replay"\nprovider = "replay"\n')
    place = tmp_path / "position.txt"

    def feed(*lines: str) -> None:
        text = "".join(f"{line}\n" for line in lines).encode("latin-1" if "café" in lines else "utf-8")
        subprocess.run(command("log_feed.py", url, "app-log"), input=text, check=True, timeout=60)

    def follow(count: int) -> list[str]:
        follower = command("log_tail.py", url, "app-log", str(place))
        with subprocess.Popen(follower, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline().rstrip("\n") for _ in range(count)]
            # The position is written behind the line.
            asyncio.run(eventually(lambda: place.read_text() == latest(), within=30))
            process.kill()
        return lines

    def latest() -> str:
        with Client(url).subscribe("app-log") as events:
            return events.cursor or next(events).cursor

    feed("one", "two")
    assert follow(2) == ["one", "two"]
    feed("three", "vier 四")
    assert follow(2) == ["three", "vier 四"]
    feed("café")
    assert follow(1) == ["caf\ufffd"]


def test_an_agent_stops_when_it_is_cancelled(server: Callable[[str], str]) -> None:
    """Whoever follows it may stop it, and it says so."""
    url = server('[store]\nurl = "memory://"\n[[models]]\nname = "replay"\nprovider = "replay"\n')
    with subprocess.Popen(
        command("agent.py", url, "report-1"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as agent:
        assert agent.stdout is not None
        Client(url).cancel(agent.stdout.readline().partition(":")[0])
        _, errors = agent.communicate(timeout=60)
    assert (agent.returncode, errors) == (1, "cancelled\n")


def test_the_code_in_the_documentation_runs(server: Callable[[str], str]) -> None:
    """Every block, as it stands, but for the place of the server and the id of a stream."""
    url = server('[store]\nurl = "memory://"\n[[models]]\nname = "smollm2"\nprovider = "replay"\ntokens = 5\n')
    id = Client(url).start({"model": "smollm2", "prompt": "p"}).id
    page = (EXAMPLES.parent / "docs" / "python.md").read_text("utf-8")
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    code = code.replace("http://127.0.0.1:8000", url).replace("gen_…", id)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(said in done.stdout for said in ("completed", "delta {'text'", "subscribed", "has so far:"))
