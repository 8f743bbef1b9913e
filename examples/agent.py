"""An agent that fills a stream of its own. Stop it and start it again: it goes on where it was.

    python agent.py http://127.0.0.1:8000 report-17

It has as long as its lease to come back, 5 s by default; then the stream ends as failed, truthfully. Anyone may follow
meanwhile: `tidegate tail gen_...`, or an `EventSource` on /v1/streams/gen_.../events. Whoever cancels it stops it.
"""

import sys
import time

from tidegate.client import Client, StreamEnded

STEPS = [f"Step {number} is done. " for number in range(1, 21)]


def main(server, key):
    # The same key leads to the same stream; a twin that still runs can append nothing more.
    with Client(server).produce(key) as stream:
        sys.stdout.write(f"{stream.id}: {len(stream.text)} characters so far\n")
        sys.stdout.flush()
        if stream.ended:
            return
        for text in STEPS[stream.offset - 1 :]:
            time.sleep(0.1)
            stream.delta(text)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except StreamEnded:
        sys.exit("cancelled")
