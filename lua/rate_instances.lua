-- Tells who is alive: how many processes share the limits.
--
-- KEYS     one set, sorted by when its members were last seen
-- ARGV     [1] who asks, any text; [2] for how many milliseconds somebody seen is taken to be alive
-- Reply    how many are alive, an integer
-- Clock    that of the server
-- Cost     TIME, ZADD, ZREMRANGEBYSCORE, PEXPIRE, ZCARD

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local life = tonumber(ARGV[2])
redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.0f', now - life))
-- Seen in the future, by a clock that has stepped back: seen now.
redis.call('ZREMRANGEBYSCORE', KEYS[1], string.format('(%.0f', now + life), '+inf')
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('ZCARD', KEYS[1])
