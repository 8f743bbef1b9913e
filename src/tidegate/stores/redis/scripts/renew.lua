-- Renews a node's lease. Its contact with Redis is unbroken since `streak`, by Redis' time, if no more than half a lease
-- lies between two renewals; only a node in such contact for a whole lease may say that others are dead. So nobody is
-- taken for dead before a lease is over since Redis answered again.
-- KEYS: living, the node's counts, retiring, held, what the node holds, orphans, layout. ARGV: publish, news, node, lease
-- in ms, how long counts are kept in ms, the time of the renewal before, streak, the time in ms where it is not Redis'
-- own (else empty), how long all else is kept in ms.
-- Returns 1 if the node was not known, the time, streak, and the nodes whose leases are over.
local time = redis.call('TIME')
local now = tonumber(ARGV[8]) or time[1] * 1000 + math.floor(time[2] / 1000)
local lease = tonumber(ARGV[4])
local since, streak = now - tonumber(ARGV[6]), tonumber(ARGV[7])
if since < 0 or since > lease / 2 then streak = now end

local is_new = redis.call('ZADD', KEYS[1], now + lease, ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[5])
for _, index in ipairs({1, 3, 4, 5, 6, 7}) do
  redis.call('PEXPIRE', KEYS[index], ARGV[9])
end
if is_new == 1 then redis.call(ARGV[1], ARGV[2], '{"type":"Changed"}') end
local dead = {}
if now - streak >= lease then dead = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now) end
return {is_new, now, streak, dead}
