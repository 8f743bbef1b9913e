-- Says that a node fills a stream no longer. Changes nothing where another node holds it.
-- KEYS: held, held_by. ARGV: stream, node.
local holder = redis.call('HGET', KEYS[1], ARGV[1])
if holder and string.match(holder, '^%d+:(.*)$') == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end
redis.call('SREM', KEYS[2], ARGV[1])
