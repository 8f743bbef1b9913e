-- Compares what a node holds. A stream that Redis has forgotten, in a failover, is the node's again.
-- KEYS: held, held_by, orphans. ARGV: node, and for each stream its name and the number of its hold.
-- Returns the streams that the node has lost.
local lost = {}
for each = 2, #ARGV, 2 do
  local stream, holder = ARGV[each], redis.call('HGET', KEYS[1], ARGV[each])
  if holder then
    if string.match(holder, '^%d+:(.*)$') ~= ARGV[1] then lost[#lost + 1] = stream end
  elseif redis.call('HEXISTS', KEYS[3], stream) == 1 then
    lost[#lost + 1] = stream
  else
    redis.call('HSET', KEYS[1], stream, ARGV[each + 1] .. ':' .. ARGV[1])
    redis.call('SADD', KEYS[2], stream)
  end
end
return lost
