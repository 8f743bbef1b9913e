"""Follows the log that log_feed.py publishes, and remembers in a file how far it came.

    python log_tail.py http://127.0.0.1:8000 app-log position.txt

Restart it, or the server: it prints every line once, as long as the topic still has them (`store.topic_history`).
"""

import sys
from pathlib import Path

from tidegate.client import Client


def main(server, topic, file):
    place = Path(file)
    after = place.read_text() if place.exists() else "earliest"
    with Client(server, attempts=None).subscribe(topic, after) as events:
        for event in events:
            if event.type == "gap":
                sys.stderr.write("some lines are no longer kept\n")
            if event.type == "line":
                sys.stdout.write(event.data["data"] + "\n")
                sys.stdout.flush()
            if event.type in ("gap", "line"):
                place.write_text(event.cursor)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
