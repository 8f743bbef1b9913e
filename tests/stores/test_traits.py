from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tidegate.stores import STORES, traits_of
from tidegate.stores.memory import MemoryStore
from tidegate.stores.redis.store import RedisStore
from tidegate.stores.sqlite.store import SqliteStore
from tidegate.stores.traits import Options

OPTIONS = Options(
    max_generation_bytes=1000,
    topic_history=10,
    max_stored_bytes=0,
    max_stored_bytes_each=0,
    synchronous="normal",
    now=time.time,
    retention_seconds=60,
    patience_seconds=30,
    prefix="tidegate",
    password_file="",
    ca_file="",
)


def test_each_store_of_the_table_says_what_it_is(tmp_path: Path) -> None:
    """A URL leads to the store of its scheme, and no URL to memory."""
    urls = {"memory": "memory://", "sqlite": f"sqlite:///{tmp_path}/a.db"}
    kinds: dict[str, type] = {"memory": MemoryStore, "sqlite": SqliteStore}
    for suffix in ("", "+sentinel", "+cluster"):
        for scheme in ("redis", "rediss"):
            urls[scheme + suffix] = f"{scheme}{suffix}://u:p@h1:1" + ("/service/0" if suffix == "+sentinel" else "")
            kinds[scheme + suffix] = RedisStore
    assert urls.keys() == STORES.keys()
    for scheme, url in urls.items():
        traits = traits_of(url)
        assert traits is not None
        assert traits.problem(url) is None
        assert isinstance(traits.open(url, OPTIONS), kinds[scheme])
        assert traits.shared == scheme.startswith("redis"), "one process has the memory, and one has the file"
        assert "u:p" not in traits.place(url)
    assert traits_of("") is traits_of("memory://")


@pytest.mark.parametrize("url", ["mysql://h/db", "nonsense"])
def test_a_scheme_without_a_store_has_nothing_to_say(url: str) -> None:
    """Nor has what is no URL."""
    assert traits_of(url) is None


def test_what_is_not_used_is_not_imported() -> None:
    """Who keeps logs in memory does not load a database."""
    program = (
        "import sys; from tidegate.stores import traits_of; traits_of('memory://'); print('sqlite3' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "False\n"
    )
