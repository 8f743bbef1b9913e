-- Removes nodes that are dead, and the one that leaves: what they held are orphans, and they count nothing any more.
-- Others live on if they have renewed since the caller's renewal, which found that their leases were over, or if Redis
-- was away since: then they may not have been able to.
-- KEYS: living, retiring, held, orphans. ARGV: publish, news, the beginnings of held_by and counts, the time in ms where
-- it is not Redis' own, the node that leaves or '', lease in ms, the time of the caller's renewal, the others.
local time = redis.call('TIME')
local now = tonumber(ARGV[5]) or time[1] * 1000 + math.floor(time[2] / 1000)

local function bury(node)
  redis.call('ZREM', KEYS[1], node)
  redis.call('SREM', KEYS[2], node)
  for _, stream in ipairs(redis.call('SMEMBERS', ARGV[3] .. node)) do
    redis.call('HDEL', KEYS[3], stream)
    redis.call('HSET', KEYS[4], stream, '0')
  end
  redis.call('DEL', ARGV[3] .. node, ARGV[4] .. node)
end

if ARGV[6] ~= '' then bury(ARGV[6]) end
local since = now - tonumber(ARGV[8])
for each = 9, #ARGV do
  local ends = redis.call('ZSCORE', KEYS[1], ARGV[each])
  if ends and tonumber(ends) <= now and since >= 0 and since <= ARGV[7] / 2 then bury(ARGV[each]) end
end
redis.call(ARGV[1], ARGV[2], '{"type":"Changed"}')
