from __future__ import annotations

import os
import sys
import time
from urllib.request import urlopen

import pytest

from tidegate.bench.processes import answering, free_port, listening, server_cpu
from tidegate.errors import TidegateError

WELL_LATER = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    asked = 0
    def do_GET(self):
        Handler.asked += 1
        self.send_response(200 if self.path == "/well" and Handler.asked > 2 else 503)
        self.end_headers()
    def log_message(self, *_): pass
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def test_a_server_that_does_not_say_when_it_is_ready_is_asked() -> None:
    """Until it answers 200; then it is measured, and at the end it is stopped."""
    port = free_port()
    with answering([sys.executable, "-c", WELL_LATER, str(port)], server_cpu(), port, "/well") as server:
        with urlopen(f"{server.url}/well") as answer:
            assert answer.status == 200
        assert os.sched_getaffinity(server.pid) == {server_cpu()}
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)


def test_a_server_that_ends_before_it_is_ready_ends_the_run_at_once() -> None:
    """Whether it would have been asked or would have said so."""
    began = time.monotonic()
    dead = [sys.executable, "-c", ""]
    with pytest.raises(TidegateError, match="did not start"), answering(dead, server_cpu(), free_port(), "/well"):
        pass
    with pytest.raises(TidegateError, match="did not start"), listening(dead, server_cpu()):
        pass
    assert time.monotonic() - began < 30
