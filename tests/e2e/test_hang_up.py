"""SIGHUP to the program: what is read again, what is said of it, and what goes on meanwhile."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from api_kit import call, fetch
from eventually_kit import eventually

from tidegate.gate.api_keys import key_sha256
from tidegate.testing.process import Process, running
from tidegate.testing.upstream import FakeUpstream, chat

pytestmark = pytest.mark.anyio

READ = "the configuration was read again: "
REFUSED = "the configuration was read again, and nothing was changed: "

REPLAY = """
[[models]]
name = "steady"
provider = "replay"
tokens = 60
rate = 20
"""

COUNTING = """
import asyncio, pathlib

async def answer(request):
    number = 0
    while not pathlib.Path("enough").exists():
        yield f"{number} "
        number += 1
        await asyncio.sleep(0.05)
    yield "enough"
"""


@asynccontextmanager
async def serving(folder: Path, config: str, *flags: str) -> AsyncIterator[Process]:
    (folder / "tidegate.toml").write_text(config)
    program = running("--store", "memory://", *flags, cwd=folder)
    # What it asks at its start may be on this loop.
    server = await asyncio.to_thread(program.__enter__)
    try:
        yield server
    finally:
        program.__exit__(None, None, None)


def said(server: Process, level: str = "info") -> list[str]:
    """What the configuration was said to be, line by line."""
    lines = [json.loads(line) for line in server.stderr().splitlines() if line.startswith("{")]
    return [line["message"] for line in lines if line["logger"] == "tidegate.config" and line["level"] == level]


async def reload(server: Process) -> str:
    """Has the server read everything again, and returns the line that it says."""
    before = {level: len(said(server, level)) for level in ("info", "error")}
    server.signal(signal.SIGHUP)
    await eventually(lambda: any(len(said(server, level)) > count for level, count in before.items()), within=60)
    (line,) = [line for level, count in before.items() for line in said(server, level)[count:]]
    return line


async def answered(server: Process, model: str) -> str:
    body = {"model": model, "prompt": "x", "stream": False}
    return (await fetch(f"{server.url}/v1/streams", "POST", body))[2]["text"]


async def test_the_key_of_an_upstream_is_read_again_from_its_file(tmp_path: Path) -> None:
    """The next request has the new key; what is no key changes nothing, and neither is ever in the log."""
    file = tmp_path / "upstream.key"
    file.write_text("sk-canary-1\n")
    async with FakeUpstream(chat("a")) as upstream:
        config = f"""
[[models]]
name = "m"
provider = "openai"
base_url = "{upstream.url}"
api_key_file = "{file}"
"""
        async with serving(tmp_path, config) as server:
            assert await answered(server, "m") == "a"
            assert await reload(server) == f"{READ}no model and no key has changed"
            file.write_text("sk-canary-2\n")
            assert await reload(server) == f"{READ}models changed: m"
            assert await answered(server, "m") == "a"
            file.write_text("sk-canary 3")
            problem = "the key in it cannot stand in a header"
            place = f"models.0.api_key_file = '{file}' (tidegate.toml)"
            assert (await reload(server)).startswith(f"{REFUSED}{place}: {problem}")
            assert await answered(server, "m") == "a"
            server.signal()
            assert server.wait() == 0
            assert "canary" not in server.stderr()
    keys = [request.headers["authorization"] for request in upstream.requests]
    assert keys == ["Bearer sk-canary-1", "Bearer sk-canary-2", "Bearer sk-canary-2"]


async def test_a_faulty_file_changes_nothing(tmp_path: Path) -> None:
    """It is said in one line with the key, the value and the place, as at the start; a file that is gone is faulty."""
    file = tmp_path / "tidegate.toml"
    async with serving(tmp_path, REPLAY) as server:
        file.write_text(REPLAY.replace("20", "-1"))
        assert await reload(server) == f"{REFUSED}models.0.rate = -1 (tidegate.toml): expected `float` >= 0.0"
        file.unlink()
        assert await reload(server) == f"{REFUSED}tidegate.toml: No such file or directory"
        file.write_text('[server]\nhost = "0.0.0.0"\n' + REPLAY)
        assert "there is no authentication" in await reload(server)
        assert [each["id"] for each in (await fetch(f"{server.url}/v1/models"))[2]["data"]] == ["steady"]
        file.write_text("[server]\ndrain_seconds = 1\n" + REPLAY.replace("steady", "other"))
        server.signal(signal.SIGHUP)
        await eventually(lambda: said(server, "warning"), within=60)
        assert said(server)[-1] == f"{READ}models added: other; models removed: steady"
        assert said(server, "warning") == ["what has changed here needs a restart: server.drain_seconds"]


async def test_an_upstream_is_asked_for_its_models_again(tmp_path: Path) -> None:
    """An answer without any takes none of them away."""
    async with (
        FakeUpstream(chat("a"), models=["a", "b"]) as upstream,
        serving(tmp_path, "", "--upstream", upstream.url) as server,
    ):
        upstream.models = ["b", "c"]
        assert await reload(server) == f"{READ}models added: c; models removed: a"
        assert await answered(server, "c") == "a"
        upstream.models = []
        assert (await reload(server)).startswith(REFUSED)
        assert [each["id"] for each in (await fetch(f"{server.url}/v1/models"))[2]["data"]] == ["b", "c"]


async def test_an_embedded_model_is_not_restarted_for_others(tmp_path: Path) -> None:
    """It takes seconds to load, and its answers would be lost."""
    config = '[[models]]\nname = "small"\nprovider = "llama"\nparallel = 1\ncontext = 256\n'
    async with serving(tmp_path, config + REPLAY) as server:
        before = _children(server.pid)
        (tmp_path / "tidegate.toml").write_text(config + "max_queue = 3\n" + REPLAY.replace("steady", "other"))
        assert await reload(server) == f"{READ}models added: other; models changed: small; models removed: steady"
        assert len(before) == 1
        assert _children(server.pid) == before


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


async def test_nothing_is_lost_while_everything_is_read_again_and_again(tmp_path: Path) -> None:
    """Twenty times under fifty answers, with keys and models that come and go beside them; they end after the last."""
    (tmp_path / "counting_agents.py").write_text(COUNTING)

    def config(turn: int) -> str:
        keys = "".join(
            f'[[auth.keys]]\nname = "{name}"\nsha256 = "{key_sha256(name)}"\nscopes = ["generate", "read"]\n'
            for name in ("all", f"only-{turn}")
        )
        counting = '[[models]]\nname = "counting"\nprovider = "python"\ntarget = "counting_agents:answer"\n'
        return counting + REPLAY.replace("steady", f"turn-{turn}") + keys

    bearer = {"authorization": "Bearer all"}
    body = {"model": "counting", "prompt": "x", "stream": True, "on_disconnect": "cancel"}
    async with serving(tmp_path, config(0)) as server:

        async def read(events: AsyncIterator[Any]) -> tuple[list[str], str]:
            """The types of the events, and the text."""
            found = [event async for event in events]
            return [each.event for each in found], "".join(json.loads(each.data).get("text", "") for each in found)

        async with AsyncExitStack() as stack:
            calls = [
                await stack.enter_async_context(call(f"{server.url}/v1/streams", "POST", body, bearer))
                for _ in range(50)
            ]
            reading = [asyncio.create_task(read(each.events())) for each in calls]
            for turn in range(1, 21):
                (tmp_path / "tidegate.toml").write_text(config(turn))
                await reload(server)
            (tmp_path / "enough").touch()
            for types, text in await asyncio.gather(*reading):
                assert types == ["started", *["delta"] * (len(types) - 2), "completed"]
                count = text.count(" ")
                assert text == "".join(f"{number} " for number in range(count)) + "enough"
        assert said(server, "error") == []
        assert len(said(server)) == 20
        listed = (await fetch(f"{server.url}/v1/models", headers=bearer))[2]["data"]
        assert [each["id"] for each in listed] == ["counting", "turn-20"]
        for turn, status in ((19, 401), (20, 200)):
            headers = {"authorization": f"Bearer only-{turn}"}
            assert (await fetch(f"{server.url}/v1/models", headers=headers))[0] == status


async def test_one_that_comes_before_the_server_is_ready_is_heard_then(tmp_path: Path) -> None:
    """The file may have changed after it was read."""
    agents = "import os, signal\nos.kill(os.getpid(), signal.SIGHUP)\nasync def answer(request): yield 'x'\n"
    (tmp_path / "hasty_agents.py").write_text(agents)
    config = '[[models]]\nname = "p"\nprovider = "python"\ntarget = "hasty_agents:answer"\n'
    async with serving(tmp_path, config) as server:
        await eventually(lambda: said(server), within=60)
        assert said(server) == [f"{READ}no model and no key has changed"]


async def test_signals_at_the_wrong_moment_are_harmless(tmp_path: Path) -> None:
    """Two at once, and one while the server is about to stop."""
    async with serving(tmp_path, REPLAY) as server:
        server.signal(signal.SIGHUP)
        server.signal(signal.SIGHUP)
        await eventually(lambda: said(server), within=60)
        async with call(
            f"{server.url}/v1/streams", "POST", {"model": "steady", "prompt": "x", "stream": True}
        ) as answer:
            events = answer.events()
            await anext(events)
            server.signal()
            await eventually(lambda: "draining" in server.stderr(), within=60)
            server.signal(signal.SIGHUP)
            assert [event.event async for event in events][-1] == "completed"
        assert server.wait() == 0
        assert said(server, "error") == []
