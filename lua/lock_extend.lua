-- Renews the lease of who holds a lock.
--
-- KEYS     lock:<name>, as in parts/lock_queue.lua
-- ARGV     [1] the member of the holder, as there
--          [2] big-endian: how long it lasts from now (5, ms), limit (4)
-- Reply    an integer: 1 renewed, 0 not held any more
-- Invariant  what is over is over: nobody is made a holder here.
-- Cost     ZSCORE, TIME, ZADD, PEXPIRE; of a lock for several ZRANGE, too

local call, format = redis.call, string.format
local ends = call('ZSCORE', KEYS[1], ARGV[1])
if not ends then return 0 end
local time = call('TIME')
local now = time[1] * 1000000 + time[2]
if tonumber(ends) <= now then
  call('ZREM', KEYS[1], ARGV[1])
  return 0
end
local lasts, limit = struct.unpack('>I5I4', ARGV[2])
call('ZADD', KEYS[1], format('%d', now + 1000 * lasts), ARGV[1])
if limit > 1 then
  local last = call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2] + 999
  call('PEXPIREAT', KEYS[1], format('%d', (last - last % 1000) / 1000))
else
  call('PEXPIRE', KEYS[1], format('%d', lasts))
end
return 1
