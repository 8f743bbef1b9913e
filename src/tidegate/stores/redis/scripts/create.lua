-- Creates a stream with its first events. Harmless when repeated: an epoch is never drawn twice.
-- KEYS: record, log. ARGV: epoch, record, events, count, size, running, claim,
-- lease, the milliseconds that the stream is kept without a change.
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if epoch then
  return epoch == ARGV[1] and 'ok' or 'there'
end
redis.call('HSET', KEYS[1], 'record', ARGV[2], 'epoch', ARGV[1], 'epochs', ARGV[1] .. ':0', 'tail', ARGV[4],
  'size', ARGV[5], 'running', ARGV[6], 'lease', ARGV[8], 'claim', ARGV[7])
redis.call('XADD', KEYS[2], ARGV[4] .. '-0', 'j', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[9])
redis.call('PEXPIRE', KEYS[2], ARGV[9])
return 'ok'
