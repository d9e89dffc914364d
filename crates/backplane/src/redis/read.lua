-- Reads entries of a log, as one step.
--
-- KEYS[1]  the log
-- ARGV     after which number, how many entries at most, and how many bytes of them at most
-- Answers  the number of the last entry that was ever added (0 for no log), then number and entry in turn
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
if not last[1] then
  return { 0 }
end
local answer = { tonumber(string.match(last[1][1], '^(%d+)')) }
local after, most, room = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
-- One by one, so that no more is held here than is answered.
for _ = 1, most do
  local found = redis.call('XRANGE', KEYS[1], string.format('%.0f-0', after + 1), '+', 'COUNT', 1)
  if not found[1] then
    break
  end
  local entry = found[1][2][2]
  room = room - #entry
  if room < 0 then
    break
  end
  after = tonumber(string.match(found[1][1], '^(%d+)'))
  answer[#answer + 1] = after
  answer[#answer + 1] = entry
end
return answer
