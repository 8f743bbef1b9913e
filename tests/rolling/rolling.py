"""`make rolling`: a rolling update as Kubernetes does it, of real servers over a real Redis, under live streams."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import uvloop
from redis_kit import RedisServer
from rollout import update
from update_plan import Plan
from update_report import lines

from tidegate.descriptors import raise_descriptor_limit

MOST_SECONDS = 3.0
"""No reader may wait longer for its next event, beyond the model's own pauses."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 1 where something was lost, or somebody had to wait for too long."""
    options = _options(arguments)
    keep = options.pop("keep")
    raise_descriptor_limit()
    with tempfile.TemporaryDirectory() as temporary:
        folder = keep or Path(temporary)
        redis = RedisServer(folder / "redis", {"appendonly": "yes"})
        redis.start()
        try:
            outcome = uvloop.run(update(Plan(**options), redis.url, folder))
        finally:
            redis.kill()
    sys.stdout.writelines(f"{line}\n" for line in lines(outcome))
    return int(bool(outcome.problems) or outcome.longest > MOST_SECONDS)


def _options(arguments: Sequence[str] | None) -> dict[str, object]:
    parser = argparse.ArgumentParser("make rolling ARGS=…", description=__doc__)
    parser.add_argument("--streams", type=int, help="streams that are live at the same time")
    parser.add_argument("--readers", type=int, help="readers of each stream")
    parser.add_argument("--replicas", type=int, help="pods")
    parser.add_argument("--rate", type=float, help="tokens per second of each stream")
    parser.add_argument("--pre-stop", type=float, help="seconds between a pod's removal from the service and SIGTERM")
    parser.add_argument(
        "--min-ready", type=float, help="seconds between a new pod's readiness and an old one's removal"
    )
    parser.add_argument("--lag", type=float, help="seconds that the removal takes to reach everybody")
    parser.add_argument("--keep", type=Path, help="an empty folder for the logs of the servers")
    return {
        name: value for name, value in vars(parser.parse_args(arguments)).items() if value is not None or name == "keep"
    }


if __name__ == "__main__":
    sys.exit(main())
