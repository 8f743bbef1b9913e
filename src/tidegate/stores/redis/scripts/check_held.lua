-- Compares what a node holds. A stream that Redis has forgotten, in a failover, is the node's again; the node may have
-- left by then, and lives again, so that its next death is noticed.
-- KEYS: held, held_by, orphans, living. ARGV: node, lease in ms, the time in ms where it is not Redis' own, and for each
-- stream its name and the number of its hold.
-- Returns the streams that the node has lost.
local time = redis.call('TIME')
local now = tonumber(ARGV[3]) or time[1] * 1000 + math.floor(time[2] / 1000)
local lost, again = {}, false
for each = 4, #ARGV, 2 do
  local stream, holder = ARGV[each], redis.call('HGET', KEYS[1], ARGV[each])
  if holder then
    if string.match(holder, '^%d+:(.*)$') ~= ARGV[1] then lost[#lost + 1] = stream end
  elseif redis.call('HEXISTS', KEYS[3], stream) == 1 then
    lost[#lost + 1] = stream
  else
    redis.call('HSET', KEYS[1], stream, ARGV[each + 1] .. ':' .. ARGV[1])
    redis.call('SADD', KEYS[2], stream)
    again = true
  end
end
if again then redis.call('ZADD', KEYS[4], 'NX', now + ARGV[2], ARGV[1]) end
return lost
