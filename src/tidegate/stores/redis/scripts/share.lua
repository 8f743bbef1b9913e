-- Adds a share to a stream, unless it has as many as it may. KEYS: record, shares.
-- ARGV: digest, the time of its end, now (both in milliseconds), the most shares.
if redis.call('HEXISTS', KEYS[1], 'record') == 0 then
  return 'missing'
end
local shares = redis.call('HGETALL', KEYS[2])
local left = 0
for index = 1, #shares, 2 do
  if tonumber(shares[index + 1]) <= tonumber(ARGV[3]) then
    redis.call('HDEL', KEYS[2], shares[index])
  elseif shares[index] ~= ARGV[1] then
    left = left + 1
  end
end
if left >= tonumber(ARGV[4]) then
  return 'many'
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
local keep = redis.call('PTTL', KEYS[1])
if keep > 0 then
  redis.call('PEXPIRE', KEYS[2], keep)
end
return 'ok'
