-- Reads a topic's events after an offset (empty: from the earliest one kept).
--
-- Answers the topic's epochs, its tail, the offset before its first event, and the JSON of so many events and bytes at
-- the most, but of at least one; nothing where there is no topic. Whether the position is valid is for the asker to see.
-- KEYS: record, log. ARGV: offset, events, bytes.
local record, log = unpack(KEYS)
local after, limit, most_bytes = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
-- So many at a time, since the last events of a longer piece may be megabytes that are not wanted.
local PIECE = 32

local known = redis.call('HMGET', record, 'epochs', 'tail', 'first')
if not known[1] then return false end
local first = tonumber(known[3])
local found, size = {}, 0
after = after or first

local function read_piece()
  local piece = redis.call('XRANGE', log, (after + 1) .. '-0', '+', 'COUNT', math.min(PIECE, limit - #found))
  for _, entry in ipairs(piece) do
    local json = entry[2][2]
    size = size + #json
    if size > most_bytes and #found > 0 then return false end
    found[#found + 1] = json
    after = after + 1
  end
  return #piece == PIECE
end

if after >= first then
  while #found < limit and read_piece() do end
end
return {known[1], known[2], known[3], found}
