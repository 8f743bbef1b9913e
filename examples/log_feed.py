"""Publishes each line that it reads to a topic: a log that anyone may follow live.

    tail -F app.log | python log_feed.py http://127.0.0.1:8000 app-log

A server that restarts is waited for, and every line is published once: each has its own Idempotency-Key. Bytes that are
no UTF-8 become U+FFFD.
"""

import sys

from tidegate.client import Client


def main(server, topic):
    sys.stdin.reconfigure(encoding="utf-8", errors="replace")
    with Client(server, attempts=None) as client:
        for line in sys.stdin:
            client.publish(topic, line.rstrip("\n"), "line")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
