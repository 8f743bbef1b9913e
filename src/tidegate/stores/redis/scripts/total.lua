-- Notes what one account holds, and answers what all hold together, and the accounts that hold most, the largest first.
-- KEYS: bytes. ARGV: account, bytes, the milliseconds that this is kept, how many accounts are wanted.
if tonumber(ARGV[2]) > 0 then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
else
  redis.call('HDEL', KEYS[1], ARGV[1])
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
local sum, accounts, sizes = 0, {}, {}
local all = redis.call('HGETALL', KEYS[1])
for index = 1, #all, 2 do
  local account, size = all[index], tonumber(all[index + 1])
  sum = sum + size
  accounts[#accounts + 1] = account
  sizes[account] = size
end
table.sort(accounts, function(one, other)
  return sizes[one] > sizes[other]
end)
local largest = {}
for index = 1, math.min(#accounts, tonumber(ARGV[4])) do
  largest[index] = accounts[index]
end
return {sum, largest}
