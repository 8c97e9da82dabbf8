-- What the scripts of a lock share where somebody holds it, or waits for it.
--
-- KEYS     [1] lock:#fence, the highest fence of all locks (of its slot, on a cluster), for ever
--          [2] lock:<name>, a sorted set: who holds it, by when that ends (us); on a cluster lock:{<name>}
--          [3] <[2]>#queue, a sorted set: who waits, in the order of arrival (us)
--          [4] <[2]>#gone, a sorted set: attempts given up, whose requests may still be under way, by when that is forgotten (us)
--          [5] <[2]>#alive, a hash: until when each of those who wait is taken for alive (us)
-- Members  of [2]: "<token> <weight> <fence> <ms it lasts> <who>". Of [3], and fields of [5]:
--          "<token> <weight> <ms of a heartbeat> <ms it lasts> <who>"
-- Messages on the channel lock:#<first 16 digits of the token>: "+<token> <fence> <us since it was last heard of>": it was handed
--          the lock, for as long as it is taken for alive, and for longer when it comes to renew that, or asks;
--          "-<token>": the lock was taken away
-- Invariant  what is held weighs no more than the limit of the call that gave it, or one holds all; it is handed over in the
--          order of arrival to those who are alive, and ends when those would be dead. No time lies further ahead than it may
--          last, so that a clock stepping back locks nobody out for longer. Each key ends with what it holds.
-- Needs    call, format, now, known, limit, channel, record, and the keys by name

local match, sub = string.match, string.sub

-- Makes somebody a holder; his fence.
local function grant(head, lasts, who, ends)
  local fence = now > known and now or known + 1
  local last = tonumber(call('SET', record, format('%d', fence), 'GET') or 0) or 0
  if last >= fence then
    fence = last + 1
    call('SET', record, format('%d', fence))
  end
  call('ZADD', holders, ends, head .. format('%d', fence) .. ' ' .. lasts .. ' ' .. who)
  return fence
end

-- What others than `whose` hold, when the first of that ends; its own member, and its fence. What is over goes.
local function read_holders(whose)
  local used, soonest, mine, fence = 0, 0, false, 0
  local all = call('ZRANGE', holders, 0, -1, 'WITHSCORES')
  for i = 1, #all, 2 do
    local member, ends = all[i], tonumber(all[i + 1])
    local token, weight, mark, lasts = match(member, '^(%x+) (%d+) (%d+) (%d+) ')
    if token and ends > now + 1000 * lasts then
      ends = now + 1000 * lasts
      call('ZADD', holders, format('%d', ends), member)
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
    call('PEXPIREAT', holders, format('%d', (last - last % 1000) / 1000))
  end
end

-- Until when somebody who waits is taken for alive, and when he was last heard of.
local function alive_until(waiter)
  local heartbeat = 1000 * match(waiter, '^%x+ %d+ (%d+)')
  local ends = tonumber(call('HGET', alive, waiter) or 0)
  if ends > now + heartbeat then ends = now + heartbeat end
  return ends, ends - heartbeat
end

local function leave_queue(waiter)
  call('ZREM', queue, waiter)
  call('HDEL', alive, waiter)
end

-- Makes those who wait holders of what is free.
local function hand_over(used)
  local handed = false
  while used < limit do
    local first = call('ZRANGE', queue, 0, 0)[1]
    if not first then break end
    local ends, heard = alive_until(first)
    if ends > now then
      local head, lasts, who = match(first, '^(%x+ %d+ )%d+ (%d+) (.*)$')
      local weight = match(head, ' (%d+)')
      if used > 0 and used + weight > limit then break end
      local fence = grant(head, lasts, who, format('%d', ends))
      local token = sub(head, 1, 32)
      call('PUBLISH', channel .. sub(token, 1, 16), format('+%s %d %d', token, fence, now - heard))
      used, handed = used + weight, true
    end
    leave_queue(first)
  end
  if handed then keep_holders() end
end
