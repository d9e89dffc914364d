-- Adds an entry to a log, as one step: a stream whose ids count from 1.
--
-- KEYS[1]  the log
-- ARGV     the entry, how many entries are kept, and how long the log lives from now, in milliseconds
-- Answers  the entry's number
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local number = 1
if last[1] then
  number = tonumber(string.match(last[1][1], '^(%d+)')) + 1
end
local id = string.format('%.0f-0', number)
redis.call('XADD', KEYS[1], 'MAXLEN', '=', ARGV[2], id, 'e', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return number
