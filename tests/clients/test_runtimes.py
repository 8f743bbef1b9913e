"""The client as it stands in Node, Deno and Bun, against a real server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from runtime_kit import RUNTIMES, outcome

from tidegate.testing.process import running

CONFIG = """
[limits]
requests_per_minute = 0
[store]
url = "memory://"
[[models]]
name = "replay"
provider = "replay"
tokens = 60
rate = 60.0
[[models]]
name = "endless"
provider = "replay"
tokens = 100000
rate = 20.0
[[models]]
name = "fast"
provider = "replay"
tokens = 100000
rate = 1000.0
"""

SEEN = {
    "started": {"end": "completed", "whole": True, "reconnects": 1, "duplicates": 0, "gaps": 0},
    "resumed": {"left": "AbortError", "whole": True, "status": "completed"},
    "cancelled": {"type": "cancelled", "reason": "enough", "status": "cancelled"},
    "told": [{"n": 1}, {"n": 1}, "good news"],
    "produced": {"text": "one two three", "end": "completed"},
}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("server")
    (home / "tidegate.toml").write_text(CONFIG)
    with running("--config", "tidegate.toml", cwd=home) as server:
        yield server.url


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_it_works_unmodified(url: str, runtime: str) -> None:
    """One script starts, is cut, resumes, cancels, publishes and produces over both transports; each stream is begun
    once."""
    assert outcome("everywhere.mjs", url, runtime=runtime) == {"sse": SEEN, "websocket": SEEN, "streams": 6}


def test_what_nobody_takes_does_not_gather(url: str) -> None:
    """An iterator that is not asked for more reads no more; over a socket it drops what is too much of a topic, and
    asks for it again. A stream, which may be cancelled when its last reader leaves, is not left for that. Whoever goes
    on gets each event, once and in order."""
    seen = outcome("iterator.mjs", url)
    assert 1000 <= seen.pop("again") < 1100
    assert seen == {"sse": 3002, "read": 0, "websocket": 1300, "stream": 2600}


def test_what_was_left_can_be_followed_again_at_once(url: str) -> None:
    """Though the server has not answered the first call, nor perhaps the socket been open."""
    followed = ["AbortError", "cancelled"]
    assert outcome("again.mjs", url) == {"opening": followed, "open": followed}
