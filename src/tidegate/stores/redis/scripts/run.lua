-- Notes that a provider has been asked. KEYS: record. ARGV: epoch.
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then
  -- A replica that is filled anew has nothing, and would refuse this.
  redis.call('HDEL', KEYS[1], 'epoch')
  return 'missing'
end
if epoch ~= ARGV[1] then
  return 'fenced'
end
redis.call('HSET', KEYS[1], 'running', '1')
return 'ok'
