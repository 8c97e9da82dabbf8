-- Takes a lock from whoever holds it, tells them, and hands it to those who wait.
--
-- KEYS     as in parts/lock_queue.lua
-- ARGV     [1] the highest fence that the caller knows
--          [2] what the channels begin with
--          [3] big-endian: limit (4)
-- Reply    an integer: how many held it
-- Invariant  nobody holds it afterwards but those to whom it was then handed. Fences go on growing.
-- Cost     TIME, 2 ZRANGE, for each that held it ZREM and PUBLISH; where somebody waits as in lock_release.lua

local call, format = redis.call, string.format
local record, holders, queue, gone, alive = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local known, channel = tonumber(ARGV[1]), ARGV[2]
local limit = struct.unpack('>I4', ARGV[3])
local time = call('TIME')
local now = time[1] * 1000000 + time[2]

-- include parts/lock_queue.lua

read_holders('')
local held = call('ZRANGE', holders, 0, -1)
for _, member in ipairs(held) do
  call('ZREM', holders, member)
  local token = match(member, '^%x+')
  if token then call('PUBLISH', channel .. sub(token, 1, 16), '-' .. token) end
end
hand_over(0)
return #held
