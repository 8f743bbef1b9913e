-- Reads a stream's events after an offset, its epochs and its tail.
-- KEYS: record, log. ARGV: offset, events, bytes.
-- Entries are named by the offset of their last event: the first one after the offset may begin before it.
local record = redis.call('HMGET', KEYS[1], 'epochs', 'tail', 'end')
if not record[1] then
  return {'missing'}
end
local offset, left, bytes = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local found, tail = {}, tonumber(record[2])
while offset < tail and left > 0 and bytes > 0 do
  local entries = redis.call('XRANGE', KEYS[2], string.format('%d-0', offset + 1), '+', 'COUNT', math.min(left, 64))
  if #entries == 0 then
    break
  end
  for _, entry in ipairs(entries) do
    local last = tonumber(string.match(entry[1], '^%d+'))
    found[#found + 1] = last
    found[#found + 1] = entry[2][2]
    left = left - (last - offset)
    bytes = bytes - #entry[2][2]
    offset = last
    if left <= 0 or bytes <= 0 then
      break
    end
  end
end
return {record[1], tail, record[3] and 1 or 0, found}
