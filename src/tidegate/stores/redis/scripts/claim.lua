-- Claims an idempotency key for a stream. KEYS: claim. ARGV: value, the value it may replace (empty: none),
-- milliseconds. Answers the value that stands.
local found = redis.call('GET', KEYS[1])
if found and found ~= ARGV[2] then
  return found
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
return ARGV[1]
