-- Says that a node fills a stream. Whoever held it is told. A node that was taken for dead lives again, so that its next
-- death is noticed, too.
-- KEYS: held, orphans, living. ARGV: publish, news, the beginning of held_by, stream, node, number, lease in ms, the time
-- in ms where it is not Redis' own.
local time = redis.call('TIME')
local now = tonumber(ARGV[8]) or time[1] * 1000 + math.floor(time[2] / 1000)
local stream, node, holder = ARGV[4], ARGV[5], ARGV[6] .. ':' .. ARGV[5]

local before = redis.call('HGET', KEYS[1], stream)
if before and before ~= holder then
  local number, other = string.match(before, '^(%d+):(.*)$')
  if other ~= node then
    redis.call('SREM', ARGV[3] .. other, stream)
    local lost = cjson.encode({type = 'Lost', node = other, stream = stream, number = tonumber(number)})
    redis.call(ARGV[1], ARGV[2], lost)
  end
end
redis.call('HSET', KEYS[1], stream, holder)
redis.call('SADD', ARGV[3] .. node, stream)
local changes = redis.call('HDEL', KEYS[2], stream) + redis.call('ZADD', KEYS[3], 'NX', now + ARGV[7], node)
if changes > 0 then redis.call(ARGV[1], ARGV[2], '{"type":"Changed"}') end
