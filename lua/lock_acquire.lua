-- Takes a lock, or a place among those who wait for it; asked again with the same token, keeps either.
--
-- KEYS     [1] to [4] as in parts/lock_queue.lua
--          [5] lock:#fence, the highest fence of all locks (of its slot, on a cluster), for ever
-- ARGV     [1] the token of the attempt, 32 hexadecimal digits
--          [2] who: any text, for operators
--          [3] what the channels begin with
--          [4] big-endian: weight (4), limit (4), how long the lock lasts (5, ms), a heartbeat (4, ms; 0: does not wait), the
--              highest fence that the caller knows (7)
-- Reply    integers: 1 held, the fence, microseconds since the offer (0: none);
--          0 not held, how many come before (of one who does not wait: who wait), microseconds until the first that holds it
--          must have renewed (0: unknown);
--          2: the attempt was given up
-- Invariant  a fence is above all that this server gave, at least its time in microseconds, and above what the caller knows: so
--          fences grow even where the record is lost, unless the clock of the server that lost it is behind the last fence, too.
--          One attempt has one fence. Who waits is never overtaken by one who came later.
-- Cost     TIME, EXISTS, SET, ZADD, PEXPIRE; where somebody holds it or waits: as many for each that is dropped, and for a
--          place in the queue ZSCORE, ZRANGE, ZADD, HSET, 2 PEXPIRE, ZRANK

local call = redis.call
local holders, queue, alive, gone, record = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local token, who, channel = ARGV[1], ARGV[2], ARGV[3]
local weight, limit, lasts, heartbeat, known = struct.unpack('>I4I4I5I4I7', ARGV[4])
local time = call('TIME')
local now = time[1] * 1000000 + time[2]

local function take(since_offer)
  local fence = now > known and now or known + 1
  local last = tonumber(call('SET', record, string.format('%.0f', fence), 'GET') or 0) or 0
  if last >= fence then
    fence = last + 1
    call('SET', record, string.format('%.0f', fence))
  end
  call('ZADD', holders, now + 1000 * lasts, string.format('%s %d %.0f %.0f %s', token, weight, fence, lasts, who))
  return {1, fence, since_offer}
end

if call('EXISTS', holders, queue, gone) == 0 then
  local reply = take(0)
  call('PEXPIRE', holders, lasts)
  return reply
end

-- include parts/lock_queue.lua

if call('ZSCORE', gone, token) then return {2, 0, 0} end
local used, soonest, mine, fence = read_holders(token)
if mine and fence > 0 then
  call('ZADD', holders, now + 1000 * lasts, mine)
  keep_holders()
  return {1, fence, 0}
elseif mine then
  call('ZREM', holders, mine)
  local reply = take(now + fence)
  keep_holders()
  return reply
end

local me = format('%s %d %d %s', token, weight, heartbeat, who)
local first = call('ZRANGE', queue, 0, 0)[1]
while first and first ~= me and alive_until(first) <= now do
  leave_queue(first)
  first = call('ZRANGE', queue, 0, 0)[1]
end
if (used == 0 or used + weight <= limit) and (not first or first == me) then
  if first then leave_queue(me) end
  local reply = take(0)
  keep_holders()
  hand_over(used + weight)
  return reply
end
if heartbeat == 0 then
  hand_over(used)
  return {0, call('ZCARD', queue), soonest > now and soonest - now or 0}
end
if not call('ZSCORE', queue, me) then
  local last = call('ZRANGE', queue, -1, -1, 'WITHSCORES')[2]
  call('ZADD', queue, last and tonumber(last) >= now and last + 1 or now, me)
end
call('HSET', alive, me, format('%.0f', now + 1000 * heartbeat))
call('PEXPIRE', queue, 2 * heartbeat + 10000)
call('PEXPIRE', alive, 2 * heartbeat + 10000)
hand_over(used)
return {0, call('ZRANK', queue, me), soonest > now and soonest - now or 0}
