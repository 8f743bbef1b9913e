-- Keeps a node's new parts of counts for nodes that come later, and tells those that are there.
-- KEYS: the node's counts. ARGV: publish, news, how long they are kept in ms, the message, its sequence, and for each
-- part its field and its number.
for each = 6, #ARGV, 2 do
  if ARGV[each + 1] == '0' then
    redis.call('HDEL', KEYS[1], ARGV[each])
  else
    redis.call('HSET', KEYS[1], ARGV[each], ARGV[each + 1])
  end
end
redis.call('HSET', KEYS[1], 'sequence', ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call(ARGV[1], ARGV[2], ARGV[4])
