-- Gives a lock back, or an attempt up, and offers what is free to those who wait.
--
-- KEYS     as in parts/lock_queue.lua
-- ARGV     [1] the member of the holder, or of the one who waits, as in parts/lock_queue.lua
--          [2] what the channels begin with
--          [3] big-endian: limit (4), for how long the attempt is remembered as given up (5, ms; 0: not at all), 1: what the
--              attempt came to is not known, [1] is what it waits as (1)
-- Reply    an integer: 1 it was held, 0 not, or no longer
-- Invariant  only the very holder named is removed. What is remembered as given up will never be granted.
-- Cost     ZREM, EXISTS; where somebody waits: TIME, 2 ZRANGE, HGET, ZADD, PUBLISH, ZREM, HDEL, ZRANGE, PEXPIREAT, however many
--          they are

local call = redis.call
local holders, queue, alive, gone = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local limit, remember, unknown = struct.unpack('>I4I5B', ARGV[3])
local plain, released = limit == 1 and remember == 0 and unknown == 0, 0
if plain then
  released = call('ZREM', holders, ARGV[1])
  if call('EXISTS', queue) == 0 then return released end
end

local channel = ARGV[2]
local time = call('TIME')
local now = time[1] * 1000000 + time[2]

-- include parts/lock_queue.lua

local token = sub(ARGV[1], 1, 32)
local used, _, mine, fence = read_holders(token)
if unknown == 1 then
  leave_queue(ARGV[1])
elseif mine ~= ARGV[1] then
  if mine then used = used + match(mine, '^%x+ (%d+)') end
  mine = false
end
if mine then
  call('ZREM', holders, mine)
  if fence > 0 then released = 1 end
end
if remember > 0 then
  call('ZREMRANGEBYSCORE', gone, '-inf', now)
  call('ZADD', gone, now + 1000 * remember, token)
  call('PEXPIRE', gone, remember)
end
hand_over(used)
return released
