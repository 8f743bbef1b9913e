-- Notes what one account holds, and answers what all hold together, and the account that holds most.
-- KEYS: bytes. ARGV: account, bytes, the milliseconds that this is kept.
if tonumber(ARGV[2]) > 0 then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
else
  redis.call('HDEL', KEYS[1], ARGV[1])
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
local sum, most, greediest = 0, -1, ARGV[1]
local all = redis.call('HGETALL', KEYS[1])
for index = 1, #all, 2 do
  local size = tonumber(all[index + 1])
  sum = sum + size
  if size > most then
    most, greediest = size, all[index]
  end
end
return {sum, greediest}
