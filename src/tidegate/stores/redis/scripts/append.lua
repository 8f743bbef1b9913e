-- Appends events to a stream under a fence and at an expected tail, and tells the stream's channel.
-- KEYS: record, log, shares.
-- ARGV: epoch, expected, count, size, events, most, publish, channel, the milliseconds that the stream is kept, and where
-- the stream ends with these events: the terminal event, the time of the end, the record to be kept (empty: it stays).
local record = redis.call('HMGET', KEYS[1], 'epoch', 'tail', 'size', 'end')
if not record[1] then
  -- A replica that is filled anew has nothing, and would refuse this.
  redis.call('HDEL', KEYS[1], 'epoch')
  return {'missing'}
end
if record[1] ~= ARGV[1] then
  return {'fenced'}
end
local tail, expected, count = tonumber(record[2]), tonumber(ARGV[2]), tonumber(ARGV[3])

-- Whether the log has exactly these events after the expected tail, however they were appended.
local function repeated()
  local wanted, found = {}, {}
  for line in string.gmatch(ARGV[5], '[^\n]+') do
    wanted[#wanted + 1] = line
  end
  local last = expected
  local entries = redis.call('XRANGE', KEYS[2], string.format('%d-0', expected + 1), '+', 'COUNT', count)
  for _, entry in ipairs(entries) do
    local lines = {}
    for line in string.gmatch(entry[2][2], '[^\n]+') do
      lines[#lines + 1] = line
    end
    last = tonumber(string.match(entry[1], '^%d+'))
    for index, line in ipairs(lines) do
      found[last - #lines + index] = line
    end
  end
  for index, line in ipairs(wanted) do
    if found[expected + index] ~= line then
      return false
    end
  end
  return true
end

-- The bytes of an entry, but at least one event: a page that is read takes whole entries, and is as large itself.
local PIECE = 65536

local function add_in_pieces()
  local offset, lines, bytes = tail, {}, 0
  local function add()
    redis.call('XADD', KEYS[2], string.format('%d-0', offset), 'j', table.concat(lines, '\n'))
    lines, bytes = {}, 0
  end
  for line in string.gmatch(ARGV[5], '[^\n]+') do
    if bytes + #line > PIECE and bytes > 0 then
      add()
    end
    offset, bytes = offset + 1, bytes + #line
    lines[#lines + 1] = line
  end
  add()
end

if expected ~= tail then
  if count > 0 and expected >= 0 and expected + count <= tail and repeated() then
    return {'ok', expected + count}
  end
  return {'mismatch', tail}
end
if record[4] then
  return {'ended'}
end
local size = tonumber(record[3]) + tonumber(ARGV[4])
if tonumber(ARGV[4]) > 0 and size > tonumber(ARGV[6]) then
  return {'long'}
end
if count == 0 then
  return {'ok', tail}
end
local last = string.format('%d', tail + count)
if #ARGV[5] <= PIECE then
  redis.call('XADD', KEYS[2], last .. '-0', 'j', ARGV[5])
else
  add_in_pieces()
end
redis.call('HSET', KEYS[1], 'tail', last, 'size', string.format('%d', size))
if ARGV[10] then
  redis.call('HSET', KEYS[1], 'end', ARGV[10], 'ended_at', ARGV[11])
  if ARGV[12] ~= '' then
    redis.call('HSET', KEYS[1], 'record', ARGV[12])
  end
  redis.call('PEXPIRE', KEYS[3], ARGV[9])
end
redis.call('PEXPIRE', KEYS[1], ARGV[9])
redis.call('PEXPIRE', KEYS[2], ARGV[9])
redis.call(ARGV[7], ARGV[8], ARGV[1] .. ' ' .. ARGV[2] .. ' ' .. last .. '\n' .. (#ARGV[5] <= 16384 and ARGV[5] or ''))
return {'ok', tail + count}
