"""An agent that fills a stream of its own, in plain Python with only an HTTP library. Stop it and start it again.

    python agent.py http://127.0.0.1:8000 report-17

It has as long as its lease to come back, 5 s by default; then the stream ends as failed, truthfully. Anyone may follow
meanwhile: `tidegate tail gen_...`, or an `EventSource` on /v1/streams/gen_.../events.
"""

import json
import sys
import time
import urllib.error
import urllib.request

STEPS = [f"Step {number} is done. " for number in range(1, 21)]


def call(url, body, **headers):
    """Posts until there is an answer: what has been taken already is not taken twice."""
    headers = {"content-type": "application/json", **headers}
    while True:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers)) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                answer = error.read().decode()
            if error.code < 500:
                sys.exit(f"{error.code}: {answer}")
        except OSError:
            pass
        time.sleep(0.5)


def main(server, key):
    # The same key leads to the same stream, with a lease for this run of the program: a twin that still runs is fenced.
    stream = call(f"{server}/v1/streams", {"producer": "client"}, **{"idempotency-key": key})
    sys.stdout.write(f"{stream['id']}: {stream['status']}, {len(stream['text'])} characters so far\n")
    sys.stdout.flush()
    if stream["lease"] is None:
        sys.exit(stream["status"] != "completed")
    lease, offset = stream["lease"]["token"], stream["offset"]

    def append(kind, data):
        nonlocal offset
        body = {"lease": lease, "expected_offset": offset, "events": [{"type": kind, "data": data}]}
        offset = call(f"{server}/v1/streams/{stream['id']}/append", body)["offset"]

    for text in STEPS[offset - 1 :]:
        time.sleep(0.1)
        append("delta", {"text": text})
    append("completed", {"finish_reason": "stop"})


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
