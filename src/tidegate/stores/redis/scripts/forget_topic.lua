-- Forgets a topic that nobody watches and that was last published to before a time, in Unix seconds; where a sender is
-- given, only if no other sender has something in it.
--
-- Answers `forgotten`, `none` where nobody has published to it, or `stays`; the time of its last publication; and the
-- senders whose charges are to be given back, which stay until they are.
-- KEYS: record, log, claims, senders. ARGV: time, how PUBSUB counts those who listen, channel, sender (empty: any).
local record, log, claims, senders = unpack(KEYS)
local before, count, channel, only = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]

-- Each node that watches a topic listens to its channel at this server: none has to say so again and again, and one that
-- has died watches nothing.
local published_at = redis.call('HGET', record, 'published_at')
if published_at then
  local stays = tonumber(published_at) >= before or redis.call('PUBSUB', count, channel)[2] > 0
  local charges = redis.call('HGETALL', senders)
  for at = 1, #charges, 2 do
    local is_another = only ~= '' and charges[at] ~= only
    stays = stays or (is_another and string.sub(charges[at + 1], 1, 2) ~= '0 ')
  end
  if stays then return {'stays', published_at, {}} end
  -- A full Redis takes a script that writes if it frees memory first.
  redis.call('DEL', record, log, claims)
  for at = 1, #charges, 2 do
    redis.call('HSET', senders, charges[at], (string.gsub(charges[at + 1], '^%d+', '0')))
  end
end
return {published_at and 'forgotten' or 'none', published_at, redis.call('HKEYS', senders)}
