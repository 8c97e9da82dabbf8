-- What the scripts of a lock share where somebody holds it, or waits for it.
--
-- KEYS     [1] lock:<name>, a sorted set: who holds it, by when that ends (us); on a cluster lock:{<name>}
--          [2] <[1]>#queue, a sorted set: who waits, in the order of arrival (us)
--          [3] <[1]>#alive, a hash: until when each of them is taken for alive (us)
--          [4] <[1]>#gone, a sorted set: attempts given up, whose requests may still be under way, by when that is forgotten (us)
-- Members  of [1]: "<token> <weight> <fence> <ms it lasts> <who>"; a fence below 0 is an offer, made at that time (us), which
--              its owner has yet to take. Of [2], and fields of [3]: "<token> <weight> <ms of a heartbeat> <who>"
-- Messages on the channel lock:#<first 16 digits of the token>: "+<token>": the lock is offered, come and take it;
--              "-<token>": it was taken away
-- Invariant  what is held and offered weighs no more than the limit of the call that gave it, or one holds all; offers go in the order of
--          arrival to those who are alive, and end when those would be dead. No time lies further ahead than it may last, so
--          that a clock stepping back locks nobody out for longer. Each key ends with what it holds.
-- Needs    call, now, limit, channel, and the keys by name

local match, format, sub = string.match, string.format, string.sub

-- What others than `whose` hold, when the first of that ends; its own member, and its fence. What is over goes.
local function read_holders(whose)
  local used, soonest, mine, fence = 0, 0, false, 0
  local all = call('ZRANGE', holders, 0, -1, 'WITHSCORES')
  for i = 1, #all, 2 do
    local member, ends = all[i], tonumber(all[i + 1])
    local token, weight, mark, lasts = match(member, '^(%x+) (%d+) (%-?%d+) (%d+) ')
    if token and ends > now + 1000 * lasts then
      ends = now + 1000 * lasts
      call('ZADD', holders, ends, member)
    end
    if ends <= now then
      call('ZREM', holders, member)
    elseif token == whose then
      mine, fence = member, tonumber(mark)
    else
      -- Somebody else's member, of whatever shape, holds all.
      used = used + (weight or limit)
      if soonest == 0 or ends < soonest then soonest = ends end
    end
  end
  return used, soonest, mine, fence
end

local function keep_holders()
  local last = call('ZRANGE', holders, -1, -1, 'WITHSCORES')[2]
  if last then
    last = last + 999
    call('PEXPIREAT', holders, (last - last % 1000) / 1000)
  end
end

-- Until when somebody who waits is taken for alive.
local function alive_until(waiter)
  local ends, most = tonumber(call('HGET', alive, waiter) or 0), now + 1000 * match(waiter, '^%x+ %d+ (%d+)')
  return ends > most and most or ends
end

local function leave_queue(waiter)
  call('ZREM', queue, waiter)
  call('HDEL', alive, waiter)
end

-- Offers what is free to those who wait.
local function hand_over(used)
  local offered = false
  while used < limit do
    local first = call('ZRANGE', queue, 0, 0)[1]
    if not first then break end
    local ends = alive_until(first)
    if ends > now then
      local token, weight, who = match(first, '^(%x+) (%d+) %d+ (.*)$')
      if used > 0 and used + weight > limit then break end
      local lasts = ends - now + 999
      call('ZADD', holders, ends, format('%s %s -%.0f %.0f %s', token, weight, now, (lasts - lasts % 1000) / 1000, who))
      call('PUBLISH', channel .. sub(token, 1, 16), '+' .. token)
      used, offered = used + weight, true
    end
    leave_queue(first)
  end
  if offered then keep_holders() end
end
