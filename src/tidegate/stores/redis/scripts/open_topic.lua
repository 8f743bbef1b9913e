-- Makes a topic known, and keeps it from expiring.
--
-- Answers its epochs and its tail. KEYS: record, log, claims, senders. ARGV: the name of its first epoch, and for how
-- many milliseconds it is kept once somebody has published to it, and before.
local record = KEYS[1]
local new_epoch, keep_ms, unused_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

if redis.call('EXISTS', record) == 0 then
  local run = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
  redis.call('HSET', record, 'epochs', new_epoch .. ':0', 'tail', 0, 'first', 0, 'size', 0, 'run', run)
end
local known = redis.call('HMGET', record, 'epochs', 'tail')
local ms = known[2] == '0' and unused_ms or keep_ms
if redis.call('PTTL', record) < ms then
  for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ms) end
end
return known
