"""The server held to its own description by schemathesis."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tidegate.testing.process import running

CONFIG = """
[limits]
requests_per_minute = 0

[[models]]
name = "replay"
provider = "replay"
rate = 0
tokens = 5
"""
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,unsupported_method"
)


def test_whatever_is_sent_the_answer_is_a_documented_one(tmp_path: Path) -> None:
    """Generated requests, valid and not, to every operation: no 500, no status or shape that is not documented."""
    (tmp_path / "tidegate.toml").write_text(CONFIG)
    with running(cwd=tmp_path) as server:
        # A topic has no end, and each of its answers would be waited for in vain; a probe may ask for no answer at all.
        command = [
            Path(sys.executable).with_name("schemathesis"),
            *("run", f"{server.url}/openapi.json", "--checks", CHECKS, "--phases", "coverage,fuzzing"),
            *(
                "--exclude-path",
                "/v1/topics/{name}/events",
                "--exclude-path",
                "/v1/probe",
                "--max-examples",
                "8",
                "--seed",
                "7",
                "--request-timeout",
                "10",
                "--no-color",
            ),
        ]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=500, check=False)
        assert done.returncode == 0, done.stdout[-6000:]
        assert " 500 " not in server.stderr()
