"""The process that runs llama.cpp: `python -m tidegate.providers.llama.child`, started by `LlamaProcess`.

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

from tidegate.lifeline import die_with_parent
from tidegate.providers.llama.weights import PACKAGED

MAX_BATCH = 32
"""How many tokens of a prompt are processed at a time. A batch cannot be interrupted, and a cancel may have to wait for
two: 32 tokens of SmolLM2 take 0.2 s on one core, twice that at the end of a long prompt. 64 would be no faster."""

MIN_BATCH = 8

BATCH_SECONDS = 0.5
"""How long a batch may take before llama.cpp looks at what was cancelled: half of what a cancel may take."""

BYTES_PER_THREAD_SECOND = 18e9
"""Bytes of weights times tokens that a thread processes per second; measured: 98 MB at 185 tokens/s."""

FLASH_ATTENTION_OFF = 0
"""Measured on a CPU: without it SmolLM2 generates 90 instead of 53 tokens/s, and reads small batches as fast."""


TEMPERATURE, TOP_P = 0.4, 0.9
"""Where a request says nothing, for the packaged weights alone. At llama.cpp's 0.8 two of eight poems had words that
are none, at 0.4 none of five; the model's makers advise 0.2 and 0.9."""


class ChildSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The child's settings. `context` is in tokens per generation."""

    path: str
    parallel: int
    context: int
    api_key: str


class Ready(msgspec.Struct, frozen=True):
    """The child's answer once it takes requests. `address` is `http://127.0.0.1:PORT`."""

    address: str


def main() -> None:
    # Native code may print: stdout is reserved for our one line.
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
    """Loads the model and opens the port. Raises `RuntimeError`, whose reason llama.cpp writes to stderr."""
    xllamacpp: Any = importlib.import_module("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = settings.path
    params.n_parallel = settings.parallel
    params.n_ctx = settings.context * settings.parallel
    threads = threads_for(os.cpu_count() or 1)
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.flash_attn_type = FLASH_ATTENTION_OFF
    if os.path.basename(settings.path) == PACKAGED:
        params.sampling.temp, params.sampling.top_p = TEMPERATURE, TOP_P
    batch = batch_for(os.path.getsize(settings.path), threads)
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


def threads_for(cores: int) -> int:
    """The number of threads: one core is left for delivery.

    The threads wait for each other several hundred times a token: where one has to share its core, all are slow.
    Measured on two cores beside one busy process: two threads read 125 tokens/s and generate 27, one 190 and 64.
    """
    return max(1, cores - 1)


def batch_for(size: int, threads: int) -> int:
    """How many tokens of a prompt to process at a time, for weights of `size` bytes."""
    return int(min(MAX_BATCH, max(MIN_BATCH, BATCH_SECONDS * threads * BYTES_PER_THREAD_SECOND / size)))


def exit_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
