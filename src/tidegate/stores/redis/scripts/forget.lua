-- Drops a stream's record, log and shares, and tells its channel. KEYS: record, log, shares. ARGV: publish, channel.
-- Answers the digests of its shares, whose own keys may be on another server.
local digests = redis.call('HKEYS', KEYS[3])
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
redis.call(ARGV[1], ARGV[2], 'forgotten')
return digests
