-- Raises the record of fences of one of several masters to a fence that another of them gave.
--
-- KEYS     [1] lock:#fence, as in lock_acquire.lua
-- ARGV     [1] the fence
-- Reply    an integer: 1
-- Invariant  the record never falls.
-- Cost     GET, SET

local known = tonumber(redis.call('GET', KEYS[1]) or 0) or 0
if known < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) end
return 1
