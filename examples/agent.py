"""An agent that fills a stream of its own, in plain Python with only an HTTP library. Stop it and start it again.

    python agent.py http://127.0.0.1:8000 report-17

Anyone may follow meanwhile: `tidegate tail gen_…`, or an `EventSource` on /v1/streams/gen_…/events.
"""

import json
import sys
import time
import urllib.request

STEPS = [f"Step {number} is done. " for number in range(1, 21)]


def call(url, body, **headers):
    headers = {"content-type": "application/json", **headers}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as response:
        return json.load(response)


def main(server, key):
    # The same key leads to the same stream, with a lease for this run of the program: a twin that still runs is fenced.
    stream = call(f"{server}/v1/streams", {"producer": "client"}, **{"idempotency-key": key})
    sys.stdout.write(f"{stream['id']}: {len(stream['text'])} characters so far\n")
    sys.stdout.flush()
    if stream["lease"] is None:
        return
    lease, offset = stream["lease"]["token"], int(stream["cursor"].split("-")[1])

    def append(kind, data):
        nonlocal offset
        body = {"lease": lease, "expected_offset": offset, "events": [{"type": kind, "data": data}]}
        call(f"{server}/v1/streams/{stream['id']}/append", body)
        offset += 1

    for text in STEPS[offset - 1 :]:
        time.sleep(0.1)
        append("delta", {"text": text})
    append("completed", {"finish_reason": "stop"})


if __name__ == "__main__":
    main(*sys.argv[1:])
