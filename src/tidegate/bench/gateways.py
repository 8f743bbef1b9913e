"""The gateways beside which relaying is measured: each in front of one upstream, with nothing else to do."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

from tidegate.bench.processes import Server, answering, free_port, listening, server_cpu
from tidegate.bench.programs import Programs

Gateway = Callable[[str], AbstractContextManager[Server]]
"""Runs in front of the upstream with this URL."""

REVERSE_PROXY = "Go ReverseProxy"
SMG = "smg"
LITELLM = "LiteLLM proxy"

SMG_OPTIONS = ("--policy", "round_robin", "--disable-tokenizer-autoload", "--log-level", "error")


def gateways(programs: Programs) -> dict[str, Gateway]:
    """Those that can be built, or whose package is there."""
    found: dict[str, Gateway] = {}
    if proxy := programs.baseline("proxy"):
        found[REVERSE_PROXY] = partial(_announced, proxy)
    if smg := programs.package("smg"):
        found[SMG] = partial(_smg, smg)
    if litellm := programs.python("litellm_proxy", "litellm"):
        found[LITELLM] = partial(_announced, litellm)
    return found


def _announced(command: list[str | Path], upstream: str) -> AbstractContextManager[Server]:
    return listening([*command, upstream], server_cpu())


@contextmanager
def _smg(command: list[str | Path], upstream: str) -> Generator[Server]:
    port = free_port()
    listen = ("--host", "127.0.0.1", "--port", str(port))
    metrics = ("--prometheus-host", "127.0.0.1", "--prometheus-port", str(free_port()))
    launched = [*command, "launch", "--worker-urls", upstream, *listen, *metrics, *SMG_OPTIONS]
    with answering(launched, server_cpu(), port, "/readiness") as server:
        yield server
