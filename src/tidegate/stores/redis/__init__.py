"""Streams, topics and nodes in Redis or Valkey: many nodes serve the same streams.

`lane` carries commands, `subscription` brings news, `shards` know where a key is; `store`, `topics` and `node` are the
three ports. What has to be atomic is a script in `scripts`.
"""
