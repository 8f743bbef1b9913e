"""Programs that use the JavaScript client, in Node."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "clients/js"
OURS = ROOT / ".venv/bin/node"
NODE = str(OURS) if OURS.exists() else shutil.which("node") or "node"

PATIENCE_SECONDS = 40.0


def run(script: str, *arguments: str) -> str:
    """What a script of `js/` prints."""
    path = Path(__file__).parent / "js" / script
    done = subprocess.run([NODE, path, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class Follower:
    """`js/follower.mjs`: follows what it is told to, and tells of every event and state."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._lines: Queue[str | None] = Queue()
        self._reading = Thread(target=self._read, daemon=True)
        self._reading.start()
        self.said: list[dict[str, Any]] = []

    def until(self, kind: str, value: object = None) -> dict[str, Any]:
        """The next thing said of this kind: `state`, `event`, `end`, `error`, `token`; of this value, where given."""
        while True:
            said = self._next(f"{kind} {value or ''}")
            if kind in said and (value is None or said[kind] == value):
                return said

    def tell(self, order: str) -> None:
        """`leave`, `cut`, `retry`, or `call`, which asks for the streams."""
        assert self._process.stdin
        self._process.stdin.write(order + "\n")
        self._process.stdin.flush()

    def events(self) -> list[dict[str, Any]]:
        """All events so far."""
        return [said for said in self.said if "event" in said]

    def text(self) -> str:
        """What all deltas so far are together."""
        return "".join(event["data"]["text"] for event in self.events() if event["event"] == "delta")

    def end(self) -> None:
        # A file that is closed while a thread reads it raises in that thread.
        self._process.kill()
        self._reading.join()

    def _next(self, wanted: str) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=PATIENCE_SECONDS)
        except Empty:
            raise AssertionError(f"no {wanted}; it said {self.said[-5:]}") from None
        assert line is not None, f"it ended without {wanted}; it said {self.said[-5:]}"
        said = json.loads(line)
        self.said.append(said)
        return said

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)


@contextmanager
def following(base: str, **options: Any) -> Generator[Follower]:
    """A program that follows `stream` or `topic` at `base`, or starts what is in `body`; with options of the client."""
    script = Path(__file__).parent / "js" / "follower.mjs"
    command = [NODE, str(script), json.dumps({"base": base, **options})]
    environ: Mapping[str, str] = {**os.environ, "NO_COLOR": "1"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ, bufsize=1
    ) as process:
        follower = Follower(process)
        try:
            yield follower
        finally:
            follower.end()
