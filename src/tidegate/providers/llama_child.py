"""The process that runs llama.cpp: `python -m tidegate.providers.llama_child`, started by `LlamaProcess`.

It reads one line, `ChildSettings` as JSON, from stdin, loads the model, and writes one line, `Ready` as JSON, to
stdout. Then it serves llama.cpp's own HTTP API on loopback until stdin ends, which happens when its parent dies,
however that dies. llama.cpp writes its log to stderr.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from typing import Any

import msgspec

PR_SET_PDEATHSIG = 1
SIGKILL = 9

MAX_BATCH = 64
"""Tokens of a prompt that are worked on at a time. A batch cannot be interrupted: 64 of SmolLM2's take 0.2 s on two
cores, 0.6 s at the end of a long prompt. Bigger ones would make a prompt 20 % faster, and cancelling it too slow."""

MIN_BATCH = 8

BATCH_SECONDS = 0.5
"""Of work, before the next look at what was cancelled: half of what a cancel may take."""

BYTES_PER_CORE_SECOND = 19e9
"""Weights times tokens that a core works through in a second; measured: 98 MB at 390 tokens/s on two cores."""


class ChildSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the child is told. `context` is in tokens per generation."""

    path: str
    parallel: int
    context: int
    api_key: str


class Ready(msgspec.Struct, frozen=True):
    """What the child answers once it takes requests: `http://127.0.0.1:PORT`."""

    address: str


def main() -> None:
    # Native code may print: stdout is kept for the one line that is ours.
    answers = os.dup(1)
    os.dup2(2, 1)
    die_with_parent()
    settings = msgspec.json.decode(sys.stdin.buffer.readline(), type=ChildSettings)
    watcher = threading.Thread(target=exit_with_parent, daemon=True)
    watcher.start()
    server = serve(settings)
    os.write(answers, msgspec.json.encode(Ready(server.listening_address)) + b"\n")
    watcher.join()


def serve(settings: ChildSettings) -> Any:
    """Loads the model and opens the port. Raises `RuntimeError`; llama.cpp has said why on stderr."""
    xllamacpp: Any = importlib.import_module("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = settings.path
    params.n_parallel = settings.parallel
    params.n_ctx = settings.context * settings.parallel
    batch = batch_for(os.path.getsize(settings.path), os.cpu_count() or 1)
    params.n_batch = params.n_ubatch = max(batch, settings.parallel)
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [settings.api_key]
    params.ui = False
    params.endpoint_slots = True
    # Each slot keeps its last prompt anyway; the cache beside them may grow to 8 GiB, its default.
    params.cache_ram_mib = 0
    params.cache_idle_slots = False
    return xllamacpp.Server(params)


def batch_for(size: int, cores: int) -> int:
    """How many tokens of a prompt are worked on at a time, for weights of `size` bytes."""
    return int(min(MAX_BATCH, max(MIN_BATCH, BATCH_SECONDS * cores * BYTES_PER_CORE_SECOND / size)))


def exit_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)


def die_with_parent() -> None:
    """Has the kernel kill this process with its parent, where it can: also while the model is being loaded."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL)


if __name__ == "__main__":
    main()
