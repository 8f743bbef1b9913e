-- Makes a stream that no other node holds an orphan.
-- KEYS: held, held_by, orphans. ARGV: publish, news, stream, node, 1 if it is handed over.
local holder = redis.call('HGET', KEYS[1], ARGV[3])
if holder and string.match(holder, '^%d+:(.*)$') ~= ARGV[4] then return end
redis.call('HDEL', KEYS[1], ARGV[3])
redis.call('SREM', KEYS[2], ARGV[3])
redis.call('HSET', KEYS[3], ARGV[3], ARGV[5])
redis.call(ARGV[1], ARGV[2], '{"type":"Changed"}')
