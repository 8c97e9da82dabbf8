-- Stores a result beside a lock, for others to share, if the caller still holds it.
--
-- KEYS     [1] lock:<name>, as in parts/lock_queue.lua
--          [2] <[1]>#result: "<fence> <result>"
-- ARGV     [1] the member of the holder
--          [2] the fence, a space and the result
--          [3] how long it is kept, in milliseconds
-- Reply    an integer: 1 stored, 0 not held any more
-- Invariant  a result is that of who held the lock when it was stored.
-- Cost     ZSCORE, TIME, SET

local call = redis.call
local ends = call('ZSCORE', KEYS[1], ARGV[1])
if not ends then return 0 end
local time = call('TIME')
local now = time[1] * 1000000 + time[2]
if tonumber(ends) <= now then return 0 end
call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return 1
