-- Sets what an account is charged for one stream or topic, in bytes; 0: no longer anything.
-- KEYS: charges, ended. ARGV: name, bytes, the time of its end in milliseconds (empty: it is live), limit (0: none),
-- the milliseconds that the account is kept.
-- Answers `ok` and the account's sum. Where there is no room nothing changes: `full`, and what could be forgotten.
local name, size, limit = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[4])
local before = tonumber(redis.call('HGET', KEYS[1], name) or 0)
local was_live = before > 0 and not redis.call('ZSCORE', KEYS[2], name)
local sum = tonumber(redis.call('HGET', KEYS[1], 'sum') or 0) + size - before
local live = tonumber(redis.call('HGET', KEYS[1], 'live') or 0) - (was_live and before or 0)
if ARGV[3] == '' then
  live = live + size
end
if limit > 0 and size > before and sum > limit then
  local victims, left = {}, sum - limit
  if live <= limit then
    for _, victim in ipairs(redis.call('ZRANGE', KEYS[2], 0, 99)) do
      if left <= 0 then
        break
      end
      if victim ~= name then
        victims[#victims + 1] = victim
        left = left - tonumber(redis.call('HGET', KEYS[1], victim) or 0)
      end
    end
  end
  return {'full', victims}
end
if size > 0 then
  redis.call('HSET', KEYS[1], name, size, 'sum', sum, 'live', live)
  if ARGV[3] == '' then
    redis.call('ZREM', KEYS[2], name)
  else
    redis.call('ZADD', KEYS[2], ARGV[3], name)
  end
else
  redis.call('HDEL', KEYS[1], name)
  redis.call('ZREM', KEYS[2], name)
  redis.call('HSET', KEYS[1], 'sum', sum, 'live', live)
end
if redis.call('HLEN', KEYS[1]) == 2 then
  redis.call('DEL', KEYS[1])
else
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
  redis.call('PEXPIRE', KEYS[2], ARGV[5])
end
return {'ok', sum}
