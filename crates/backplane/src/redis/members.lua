-- Adds a member to a set that holds a bounded number of them, as one step.
--
-- KEYS[1]  the set
-- ARGV     the member, how many others there may be, and how long the set lives from now, in milliseconds
-- Answers  whether the member is in the set (1 or 0)
if redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 0 then
  if redis.call('SCARD', KEYS[1]) >= tonumber(ARGV[2]) then
    return 0
  end
  redis.call('SADD', KEYS[1], ARGV[1])
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
