"""Streams, topics and nodes in Redis or Valkey: many nodes serve the same streams.

`lane` carries commands, `subscription` brings news, `shards` know where a key is; `store`, `topics` and `node` are the
three ports. What has to be atomic is a script in `scripts`.

A `node` is made of its `lease`, the `members` it sees, its `holdings`, the `orphans` it is offered, `counts` (its own
parts, and a `peer` for each other node), `commands`, `questions` and `buckets`.
"""
