-- Begins a new epoch at the tail, for the node that fills the stream from now on. Harmless when repeated.
-- KEYS: record. ARGV: epoch, lease (empty: it stays).
-- Answers `ok`, the record, the epochs, the tail, the size and the claim.
local record = redis.call('HMGET', KEYS[1], 'epoch', 'epochs', 'tail', 'end', 'record', 'size', 'claim')
if not record[1] then
  -- A replica that is filled anew has nothing, and would refuse this.
  redis.call('HDEL', KEYS[1], 'epoch')
  return {'missing'}
end
if record[4] then
  return {'ended'}
end
local epochs, tail = record[2], record[3]
if record[1] ~= ARGV[1] then
  -- An epoch in which nothing was appended has no positions.
  local before, start = string.match(epochs, '^(.*),[^,:]+:(%d+)$')
  if before and start == tail and tail ~= '0' then
    epochs = before
  end
  epochs = epochs .. ',' .. ARGV[1] .. ':' .. tail
  redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'epochs', epochs)
end
if ARGV[2] ~= '' then
  redis.call('HSET', KEYS[1], 'lease', ARGV[2])
end
return {'ok', record[5], epochs, tail, record[6], record[7]}
