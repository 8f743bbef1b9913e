-- Says for how many bytes a sender of a topic is to be charged from now on: what it has there, and a block.
--
-- `told` is what its account was charged last, after an earlier answer. Answers nothing once that is right; a sender
-- without events in the topic is forgotten then. KEYS: senders. ARGV: sender, bytes (-1: none), bytes of the block.
local senders = KEYS[1]
local sender, told, block = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

local known = redis.call('HGET', senders, sender)
if not known then return false end
local total, charged = string.match(known, '(%d+) (%d+)')
local wanted = total == '0' and 0 or total + block
if told == tonumber(charged) then
  if told == 0 then redis.call('HDEL', senders, sender) end
  return false
end
redis.call('HSET', senders, sender, total .. ' ' .. wanted)
return wanted
