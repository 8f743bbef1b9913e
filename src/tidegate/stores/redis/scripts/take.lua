-- Takes an amount that a node has let through from the bucket of all nodes; a negative one is given back. The level is
-- no lower than minus the capacity. `number` grows with each call of a node, so that none is taken twice.
-- KEYS: the bucket. ARGV: node, number, rate per second, capacity, amount, the time in ms where it is not Redis' own.
-- Returns the level. A full bucket needs no memory.
local time = redis.call('TIME')
local now = tonumber(ARGV[6]) or time[1] * 1000 + time[2] / 1000
local rate, capacity = tonumber(ARGV[3]), tonumber(ARGV[4])
local level, at, last = unpack(redis.call('HMGET', KEYS[1], 'level', 'at', 'last:' .. ARGV[1]))

level = math.min(capacity, (tonumber(level) or capacity) + math.max(0, now - (tonumber(at) or now)) / 1000 * rate)
if (tonumber(last) or 0) < tonumber(ARGV[2]) then
  level = math.max(-capacity, math.min(capacity, level - ARGV[5]))
end
local exact = string.format('%.17g', level)
redis.call('HSET', KEYS[1], 'level', exact, 'at', string.format('%.17g', now), 'last:' .. ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], math.ceil((capacity - level) / rate * 1000) + 1)
return exact
