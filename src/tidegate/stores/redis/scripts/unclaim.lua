-- Keeps a claim for so many milliseconds more (0: no longer), if it is this one. KEYS: claim. ARGV: value, milliseconds.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 'ok'
