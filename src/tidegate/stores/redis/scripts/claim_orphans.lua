-- Gives a node those of some orphans that no other node has claimed before; those of an earlier run of the same claim
-- are its own. The node may have left by then, or been taken for dead: it lives again, so that its next death is noticed.
-- KEYS: held, held_by, orphans, living. ARGV: publish, news, node, number, lease in ms, the time in ms where it is not
-- Redis' own, streams. Returns the node's.
local time = redis.call('TIME')
local now = tonumber(ARGV[6]) or time[1] * 1000 + math.floor(time[2] / 1000)
local holder = ARGV[4] .. ':' .. ARGV[3]
local claimed, changes = {}, 0
for each = 7, #ARGV do
  local stream = ARGV[each]
  if redis.call('HDEL', KEYS[3], stream) == 1 then
    redis.call('HSET', KEYS[1], stream, holder)
    redis.call('SADD', KEYS[2], stream)
    changes = changes + 1
  end
  if redis.call('HGET', KEYS[1], stream) == holder then claimed[#claimed + 1] = stream end
end
if #claimed > 0 then changes = changes + redis.call('ZADD', KEYS[4], 'NX', now + ARGV[5], ARGV[3]) end
if changes > 0 then redis.call(ARGV[1], ARGV[2], '{"type":"Changed"}') end
return claimed
