-- Gives a node those of some orphans that no other node has claimed before; those of an earlier run of the same claim
-- are its own.
-- KEYS: held, held_by, orphans. ARGV: publish, news, holder (number:node), streams. Returns the node's.
local claimed, changes = {}, 0
for each = 4, #ARGV do
  local stream = ARGV[each]
  if redis.call('HDEL', KEYS[3], stream) == 1 then
    redis.call('HSET', KEYS[1], stream, ARGV[3])
    redis.call('SADD', KEYS[2], stream)
    changes = changes + 1
  end
  if redis.call('HGET', KEYS[1], stream) == ARGV[3] then claimed[#claimed + 1] = stream end
end
if changes > 0 then redis.call(ARGV[1], ARGV[2], '{"type":"Changed"}') end
return claimed
