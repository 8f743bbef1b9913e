#!/bin/sh
# Everything that tidegate does, with curl: start, follow, come back, stop, share, publish.
#
#     sh curl.sh http://127.0.0.1:8000
#
# TIDEGATE_API_KEY is sent where it is set; MODEL is smollm2 where it is not.

set -eu
server=${1:-http://127.0.0.1:8000}
model=${MODEL:-smollm2}

ask() {
    curl -sS --fail-with-body ${TIDEGATE_API_KEY:+-H "authorization: Bearer $TIDEGATE_API_KEY"} \
        -H 'content-type: application/json' "$@"
}

field() {
    sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"
}

echo '# Start an answer. The key makes it safe to send this again: nothing is generated twice.'
key=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
body="{\"model\": \"$model\", \"prompt\": \"Tell me about the sea.\", \"background\": true}"
id=$(ask "$server/v1/streams" -H "idempotency-key: $key" -d "$body" | field id)
again=$(ask "$server/v1/streams" -H "idempotency-key: $key" -d "$body" | field id)
echo "$id"
echo "$again"

echo "# Follow it, until the connection breaks: after a second, here."
ask -N --max-time 1 "$server/v1/streams/$id/events" >events.txt || true
cat events.txt

echo '# Come back with the id of the last event, and get the rest: nothing is lost, nothing comes twice.'
last=$(sed -n 's/^id: //p' events.txt | tail -n 1)
rm events.txt
ask -N "$server/v1/streams/$id/events" -H "last-event-id: $last"

echo '# Ask for all of it.'
ask "$server/v1/streams/$id"
echo

echo '# Let somebody else read it.'
ask "$server/v1/streams/$id/share" -d '{"ttl_seconds": 3600}'
echo

echo '# Start another one, and stop it.'
body="{\"model\": \"$model\", \"prompt\": \"Count to a million.\", \"background\": true}"
id=$(ask "$server/v1/streams" -d "$body" | field id)
ask "$server/v1/streams/$id/cancel" -d '{"reason": "changed my mind"}'
echo

echo '# Tell a topic something, and read what it has been told.'
ask "$server/v1/topics/news/messages" -d '{"data": "the tide is in"}'
echo
ask -N --max-time 1 "$server/v1/topics/news/events?after=earliest" || true
