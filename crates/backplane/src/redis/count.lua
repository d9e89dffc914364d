-- Counts one request against a quota, as one step: the leaky bucket of `rate.rs`, kept as "level drained_at".
--
-- KEYS[1]  the bucket
-- ARGV     the quota's requests, its window, the caller's present moment, and how far clocks may differ;
--          all but the first in milliseconds
-- Answers  whether the request is allowed (1 or 0), and the level it leaves, as text.
--
-- Numbers are doubles here: exact while requests times window stay below 2^53, and beyond that off by less
-- than a millionth of one request.
local requests, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local now, slack = tonumber(ARGV[3]), tonumber(ARGV[4])

local level, drained_at = 0, now
-- A value of another kind under this name is replaced rather than complained of at every request.
local held = redis.pcall('GET', KEYS[1])
if type(held) == 'string' then
  local held_level, held_at = string.match(held, '^(%d+) (%d+)$')
  if held_level then
    level, drained_at = tonumber(held_level), tonumber(held_at)
  end
end

level = math.max(0, level - math.max(0, now - drained_at) * requests)
-- A clock a little behind the one that counted last is another process's; one far behind was set back.
if now > drained_at or drained_at - now > slack then
  drained_at = now
end

local is_allowed = 0
if level + window <= requests * window then
  level = level + window
  is_allowed = 1
end

-- Forgotten when it says no more than a new one would: empty, and older than clocks may differ.
local kept = math.min(math.ceil(level / requests), 4294967295) + slack
local bucket = string.format('%.0f %.0f', level, drained_at)
redis.call('SET', KEYS[1], bucket, 'PX', string.format('%.0f', kept))
return { is_allowed, string.format('%.0f', level) }
