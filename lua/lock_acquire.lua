-- Takes a lock, or a place among those who wait for it; asked again with the same token, keeps either.
--
-- KEYS     as in parts/lock_queue.lua
-- ARGV     [1] the highest fence that the caller knows
--          [2] what the channels begin with
--          [3] "<token> <weight> ", the token of the attempt being 32 hexadecimal digits
--          [4] how long the lock lasts, in milliseconds
--          [5] who: any text, for operators
--          [6] big-endian: limit (4), a heartbeat (4, ms; 0: does not wait)
-- Reply    where it was free: its fence. Otherwise three integers: 1 held, the fence, microseconds since it was handed over;
--          0 not held, how many come before (of one who does not wait: who wait), microseconds until the first that holds it
--          must have renewed (0: unknown);
--          2: the attempt was given up
-- Invariant  a fence is above all that this server gave, at least its time in microseconds, and above what the caller knows: so
--          fences grow even where the record is lost, unless the clock of the server that lost it is behind the last fence, too.
--          One attempt has one fence. Who waits is never overtaken by one who came later.
-- Cost     TIME, EXISTS, SET, ZADD, PEXPIRE; where somebody holds it or waits: as many for each that is
--          dropped, and for a place in the queue ZSCORE, ZRANGE, GET, ZADD, HSET, 2 PEXPIRE, ZRANK. What makes Lua format a
--          number, or gives it a string or a table to forget, costs as much as a command: so numbers come and go as text.

local call, format = redis.call, string.format
local time = call('TIME')
local now = time[1] * 1000000 + time[2]

if call('EXISTS', KEYS[2], KEYS[3], KEYS[4]) == 0 then
  local fence, lasts = now, ARGV[4]
  if ARGV[1] - fence >= 0 then fence = ARGV[1] + 1 end
  local text = format('%d', fence)
  local last = call('SET', KEYS[1], text, 'GET')
  if last and (tonumber(last) or 0) >= fence then
    fence = last + 1
    text = format('%d', fence)
    call('SET', KEYS[1], text)
  end
  call('ZADD', KEYS[2], format('%d', now + 1000 * lasts), ARGV[3] .. text .. ' ' .. lasts .. ' ' .. ARGV[5])
  call('PEXPIRE', KEYS[2], lasts)
  return fence
end

local record, holders, queue, gone, alive = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local known, channel, head, lasts, who = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local limit, heartbeat = struct.unpack('>I4I4', ARGV[6])

-- include parts/lock_queue.lua

local token = sub(head, 1, 32)
if call('ZSCORE', gone, token) then return {2, 0, 0} end
local used, soonest, mine, fence = read_holders(token)
if mine then
  call('ZADD', holders, format('%d', now + 1000 * lasts), mine)
  keep_holders()
  return {1, fence, now > fence and now - fence or 1}
end

local weight = tonumber(match(head, ' (%d+)'))
local me = head .. format('%d', heartbeat) .. ' ' .. lasts .. ' ' .. who
local first = call('ZRANGE', queue, 0, 0)[1]
while first and first ~= me and alive_until(first) <= now do
  leave_queue(first)
  first = call('ZRANGE', queue, 0, 0)[1]
end
if (used == 0 or used + weight <= limit) and (not first or first == me) then
  if first then leave_queue(me) end
  fence = grant(head, lasts, who, format('%d', now + 1000 * lasts))
  keep_holders()
  hand_over(used + weight)
  return {1, fence, 0}
end
if heartbeat == 0 then
  hand_over(used)
  return {0, call('ZCARD', queue), soonest > now and soonest - now or 0}
end
-- What this one is handed by others must be above what his instance knows, too.
if (tonumber(call('GET', record) or 0) or 0) < known then call('SET', record, ARGV[1]) end
if not call('ZSCORE', queue, me) then
  local last = call('ZRANGE', queue, -1, -1, 'WITHSCORES')[2]
  call('ZADD', queue, format('%d', last and tonumber(last) >= now and last + 1 or now), me)
end
call('HSET', alive, me, format('%d', now + 1000 * heartbeat))
local kept = format('%d', 2 * heartbeat + 10000)
call('PEXPIRE', queue, kept)
call('PEXPIRE', alive, kept)
hand_over(used)
return {0, call('ZRANK', queue, me), soonest > now and soonest - now or 0}
