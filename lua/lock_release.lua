-- Gives a lock back, or an attempt up, and hands what is free to those who wait.
--
-- KEYS     as in parts/lock_queue.lua
-- ARGV     [1] the highest fence that the caller knows
--          [2] what the channels begin with
--          [3] the member of the holder, or of the one who waits, as in parts/lock_queue.lua
--          [4] big-endian: limit (4), for how long the attempt is remembered as given up (5, ms; 0: not at all), 1: what the
--          attempt came to is not known, [3] is what it waits as (1)
-- Reply    an integer: 1 it was held, 0 not, or no longer
-- Invariant  only the very holder named is removed. What is remembered as given up will never be granted.
-- Cost     ZREM, EXISTS; where somebody waits: TIME, 2 ZRANGE, HGET, SET, ZADD, PUBLISH, ZREM, HDEL, ZRANGE,
--          PEXPIREAT, however many they are

local call, format = redis.call, string.format
local released = 0
-- Of one who held all of it, and is sure of it, only those who wait are left to be looked at.
if ARGV[4] == '\0\0\0\1\0\0\0\0\0\0' then
  released = call('ZREM', KEYS[2], ARGV[3])
  if call('EXISTS', KEYS[3]) == 0 then return released end
end

local record, holders, queue, gone, alive = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local known, channel, member = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local limit, remember, unknown = struct.unpack('>I4I5B', ARGV[4])
local time = call('TIME')
local now = time[1] * 1000000 + time[2]

-- include parts/lock_queue.lua

local token = sub(member, 1, 32)
local used, _, mine = read_holders(token)
if unknown == 1 then
  leave_queue(member)
elseif mine ~= member then
  if mine then used = used + match(mine, '^%x+ (%d+)') end
  mine = false
end
if mine then released = call('ZREM', holders, mine) end
if remember > 0 then
  call('ZREMRANGEBYSCORE', gone, '-inf', format('%d', now))
  call('ZADD', gone, format('%d', now + 1000 * remember), token)
  call('PEXPIRE', gone, format('%d', remember))
end
hand_over(used)
return released
