-- Takes a topic out of the sorted set of all topics, unless somebody has put it there anew with another time.
-- KEYS: the set. ARGV: topic, the time that the asker has seen there.
if redis.call('ZSCORE', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('ZREM', KEYS[1], ARGV[1]) end
