-- Publishes a batch of events to a topic, in their order, as far as their senders are charged for them.
--
-- A batch that comes again, since its answer was lost, is not published again: the answer is kept for a while. An event
-- with an idempotency key that the topic has is not published either.
--
-- Answers for each event its position; `earlier` and the position of the event with the same key and body; `mismatch`
-- for another body; or `charge` and the bytes for which its sender has to be charged first: then the rest of the batch
-- is not looked at. Beside that, the senders whose charges can be lowered.
--
-- KEYS: record, log, claims, senders, published. ARGV: the batch's number, the name of an epoch that may begin; the most
-- events and bytes that are kept, and for how many milliseconds, those that the answer is kept; the command that
-- publishes, the channel, the most bytes of JSON in a message; bytes that a topic, an event and a key take besides their
-- text, bytes that are charged ahead; and for each event its JSON, its sender, its time, whether it is a state, its key,
-- its body's digest, for how many bytes its sender has been charged, and whether the sender's own events give way.
local record, log, claims, senders, published = unpack(KEYS)
local number, new_epoch = tonumber(ARGV[1]), ARGV[2]
local history, most_bytes, keep_ms, answer_ms = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5], ARGV[6]
local publish, channel, most_told = ARGV[7], ARGV[8], tonumber(ARGV[9])
local topic_bytes, event_bytes, claim_bytes = tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
local block = tonumber(ARGV[13])
local EVENTS, FIELDS = 14, 8

local before = redis.call('GET', published)
if before then
  local last, results = unpack(cmsgpack.unpack(before))
  if number == last then return {results, {}} end
  if number < last then return redis.error_reply('STALE the node has published another batch since') end
end

local known = redis.call('HMGET', record, 'epochs', 'tail', 'first', 'size', 'run', 'state_at', 'state_size',
  'state_from')
local epochs = known[1] or (new_epoch .. ':0')
local tail, first, size = tonumber(known[2] or 0), tonumber(known[3] or 0), tonumber(known[4] or 0)
local state_at, state_size, state_from = tonumber(known[6] or 0), tonumber(known[7] or 0), known[8]

-- Another one after each start of a server and each promotion of a replica: something may have been lost then. What is
-- published from now on has to be told from that, hence an epoch begins at the tail.
local run = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
if known[1] and known[5] ~= run then epochs = epochs .. ',' .. new_epoch .. ':' .. tail end
local epoch = string.match(epochs, '(%w+):%d+$')

local charges, published_at = {}, nil

local function charge_of(sender)
  if not charges[sender] then
    local total, charged = string.match(redis.call('HGET', senders, sender) or '0 0', '(%d+) (%d+)')
    charges[sender] = {total = tonumber(total), charged = tonumber(charged)}
  end
  return charges[sender]
end

-- What a sender takes in a topic: its events, and the topic itself for as long as it has one.
local function with(total, bytes)
  if total == 0 then total = topic_bytes end
  total = total + bytes
  return total > topic_bytes and total or 0
end

local function add(sender, bytes)
  local charge = charge_of(sender)
  charge.total = with(charge.total, bytes)
end

local function forget_first()
  first = first + 1
  local id = first .. '-0'
  local event = redis.call('XRANGE', log, id, id)[1][2]
  local json, sender, key = event[2], event[4], event[6]
  redis.call('XDEL', log, id)
  size = size - #json
  if first ~= state_at then add(sender, -#json - event_bytes) end
  if key then
    redis.call('HDEL', claims, key)
    add(sender, -#key - claim_bytes)
  end
end

-- Forgets the sender's own oldest events, up to another's, the state, or the last one, while it has no room.
local function give_way(sender, bytes, allowed)
  while with(charge_of(sender).total, bytes) > allowed and tail - first > 1 and first + 1 ~= state_at do
    local id = (first + 1) .. '-0'
    if redis.call('XRANGE', log, id, id)[1][2][4] ~= sender then return end
    forget_first()
  end
end

local function append(json, sender, is_state, key, digest)
  tail = tail + 1
  local id, cursor = tail .. '-0', epoch .. '-' .. tail
  size = size + #json
  if key == '' then
    redis.call('XADD', log, id, 'j', json, 's', sender)
  else
    redis.call('XADD', log, id, 'j', json, 's', sender, 'k', key)
    redis.call('HSET', claims, key, cursor .. ' ' .. digest)
  end
  if is_state == '1' then
    if state_at > 0 and state_at <= first then add(state_from, -state_size - event_bytes) end
    state_at, state_size, state_from = tail, #json, sender
    redis.call('HSET', record, 'state', json, 'state_epoch', epoch, 'state_at', tail, 'state_size', #json,
      'state_from', sender)
  end
  while tail - first > history or (size > most_bytes and tail - first > 1) do forget_first() end
  redis.call(publish, channel, #json <= most_told and (cursor .. ' ' .. json) or cursor)
  return cursor
end

local function publish_one(json, sender, at, is_state, key, digest, charged, gives_way)
  local claimed = key ~= '' and redis.call('HGET', claims, key)
  if claimed then
    local cursor, made = string.match(claimed, '^(%S+) (.*)$')
    return made == digest and 'earlier ' .. cursor or 'mismatch'
  end
  local bytes = #json + event_bytes + (key ~= '' and #key + claim_bytes or 0)
  local charge = charge_of(sender)
  charge.charged = math.max(charge.charged, tonumber(charged))
  if gives_way == '1' then give_way(sender, bytes, charge.charged) end
  local total = with(charge.total, bytes)
  if total > charge.charged then return 'charge ' .. total end
  charge.total = total
  published_at = at
  return append(json, sender, is_state, key, digest)
end

local results = {}
for at = EVENTS, #ARGV, FIELDS do
  local result = publish_one(unpack(ARGV, at, at + FIELDS - 1))
  results[#results + 1] = result
  if string.sub(result, 1, 7) == 'charge ' then break end
end

local lower = {}
for sender, charge in pairs(charges) do
  redis.call('HSET', senders, sender, charge.total .. ' ' .. charge.charged)
  local spare = charge.charged - charge.total
  if spare > 0 and (charge.total == 0 or spare > 2 * block) then lower[#lower + 1] = sender end
end
if published_at then
  -- Epochs that end before the first event have no position that is valid.
  local rest = string.match(epochs, '^%w+:%d+,(.*)$')
  while rest and tonumber(string.match(rest, ':(%d+)')) < first do
    epochs = rest
    rest = string.match(epochs, '^%w+:%d+,(.*)$')
  end
  redis.call('HSET', record, 'epochs', epochs, 'tail', tail, 'first', first, 'size', size, 'run', run,
    'published_at', published_at)
  for at = 1, 3 do redis.call('PEXPIRE', KEYS[at], keep_ms) end
end
redis.call('PEXPIRE', senders, keep_ms)
redis.call('SET', published, cmsgpack.pack({number, results}), 'PX', answer_ms)
return {results, lower}
