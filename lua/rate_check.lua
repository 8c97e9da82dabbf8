-- Decides the rate limit rules of a request, all or nothing; or of several requests, one after the other.
--
-- KEYS     one a distinct (user, endpoint)
-- ARGV     one a request: its rules, each 30 bytes, big-endian: key index (1), algorithm (1), rule id (4), limit (6),
--          window in microseconds (6), unit in microseconds (5), cost (7); cost 0 asks without charging
--          a last one that is empty asks for a receipt of the one request before it
-- Reply    one request, one rule, charged:            the remaining quota, an integer
--          one request, several rules, all charged:   an array of the remaining quotas
--          otherwise, for each request:               1 or 0 (admitted), then for each rule: remaining, retry after,
--                        reset after, times in microseconds: retry after is 0 where the rule admits and -1 where it
--                        never will, reset after is as it was before this request; all in one array
--          with a receipt: 1 or 0, the time of the charge in microseconds, then the rules as above
-- State    a string: until when it is sure to live, and when it was last written as a whole (6 each: microseconds modulo
--          2^48), then sections, one a rule: rule id (4), algorithm (1), bytes of its payload (2; 0: to the end, where it
--          is the only section), unit (5), payload:
--          log (1): the time of each unit charged, in units, rounded up, modulo 2^32 (4), oldest first
--          counters (32 + bytes of a count: 2, 4, 6): the newest slot, a slot being one unit of time, modulo 2^32 (4);
--                        the units charged in all slots that are here (6); those of the newest slot, of the one before
--                        it, and so on
-- Invariant  within any window, the units admitted never exceed the limit: in a log each counts until a window after
--          its charge, rounded up to a unit; in counters until a window after the end of its slot.
-- Clock    that of the server. State from the future (a clock that stepped back, a failover) is written anew as of now,
--          so that nobody waits longer than a window for it. State of another shape (the rule was changed) counts as
--          charged when the last of it was.
-- Cost     TIME, then a GET a key, then one write a key when all rules admit: PSETEX; SET, where the key lives long
--          enough; APPEND (log) or SETRANGE (counters), where moreover its state is that of one rule and has nothing
--          to be dropped. A new string costs Lua a hash of every byte, so few are made, and short ones.

local call, unpack, pack, sub, rep = redis.call, struct.unpack, struct.pack, string.sub, string.rep
local format = string.format
local lap, whole = 4294967296, 281474976710656
local time = call('TIME')
local now = time[1] * 1000000 + time[2]
local keys, requests = #KEYS, #ARGV
local receipt = ARGV[requests] == ''
if receipt then requests = requests - 1 end
local states, modes, reply

for q = 1, requests do
  local request = ARGV[q]
  local rules = #request / 30
  local admitted, charged = true, true
  local changed, how, report
  -- One rule a key: what is decided here is written as it is.
  local direct = rules == keys and requests == 1

  for r = 1, rules do
    local k, kind, id, limit, window, unit, cost = unpack('>BBI4I6I6I5I7', request, 30 * r - 29)
    local s = changed and changed[k] or states and states[k] or call('GET', KEYS[k]) or ''

    -- The section of this rule is s[p .. stop - 1], its payload s[from .. stop - 1]; ready: as the server has it.
    local p, from, stop, ready = 13, 25, 25, false
    local left, ahead = 0, false
    if s ~= '' then
      local until_when, written = unpack('>I6I6', s)
      left = (until_when - now) % whole
      ahead = (now - written) % whole >= whole / 2
    end
    while p < #s do
      local i, a, n, u = unpack('>I4BI2I5', s, p)
      from, stop = p + 12, n > 0 and p + 12 + n or #s + 1
      if i == id then
        ready = n == 0 and a == kind and u == unit
        local tick = a == 1 and (now + (u - now % u) % u) / u or (now - now % u) / u
        if ahead or (tick - unpack('>I4', s, a == 1 and stop - 4 or from)) % lap >= lap / 2 then
          local parts, here = {sub(s, 1, 6) .. pack('>I6', now % whole)}, 13
          while here < #s do
            local _, other, bytes, step = unpack('>I4BI2I5', s, here)
            local stops = bytes > 0 and here + 12 + bytes or #s + 1
            parts[#parts + 1] = sub(s, here, here + 11)
            if other == 1 then
              parts[#parts + 1] = rep(pack('>I4', (now + (step - now % step) % step) / step % lap), (stops - here - 12) / 4)
            else
              parts[#parts + 1] = pack('>I4', (now - now % step) / step % lap) .. sub(s, here + 16, stops - 1)
            end
            here = stops
          end
          s = table.concat(parts)
          call('SET', KEYS[k], s, 'KEEPTTL')
        end
        if a ~= kind or u ~= unit then
          local units, last = 0
          local span = (window + u - 1 - (window - 1) % u) / u
          if a == 1 then
            if tick * u > now then span = span + 1 end
            for j = from, stop - 4, 4 do
              last = (tick - unpack('>I4', s, j)) % lap
              if last < span then units = units + 1 end
            end
            last = (tick - last) * u
          else
            last = (tick - unpack('>I4', s, from)) % lap
            local count = a == 34 and '>I2' or a == 36 and '>I4' or '>I6'
            for j = 0, (stop - from - 10) / (a - 32) - 1 do
              if last + j <= span then units = units + unpack(count, s, from + 10 + (a - 32) * j) end
            end
            last = (tick - last + 1) * u
          end
          last = math.min(last, now)
          units = math.min(units, limit)
          local payload
          if kind == 1 then
            payload = rep(pack('>I4', (last + (unit - last % unit) % unit) / unit % lap), units)
          else
            payload = units == 0 and '' or pack(kind == 34 and '>I4I6I2' or kind == 36 and '>I4I6I4' or '>I4I6I6',
                                                (last - last % unit) / unit % lap, units, units)
          end
          s = sub(s, 1, from - 1) .. payload .. sub(s, stop)
          stop = from + #payload
        end
        break
      end
      p, from = stop, stop
    end

    -- Where the rule admits, its payload becomes front .. s[keep .. last] .. back; ready: all but front (counters) or
    -- back (log) is in place already.
    local used, retry, reset = 0, 0, 0
    local front, keep, last, back = '', 1, 0, ''
    local need = cost > 0 and cost or 1
    local span = (window + unit - 1 - (window - 1) % unit) / unit

    if kind == 1 then
      -- Ages count from the present tick; an entry is live below `life`.
      local early = (unit - now % unit) % unit
      local tick = (now + early) / unit
      local life = early > 0 and span + 1 or span
      local n = (stop - from) / 4
      local first, age = n + 1, life
      if n > 0 then
        age = (tick - unpack('>I4', s, stop - 4)) % lap
        if age < life then
          first = 1
          if (tick - unpack('>I4', s, from)) % lap >= life then
            local low = 1
            first = n
            while first - low > 1 do
              local middle = (low + first - (low + first) % 2) / 2
              if (tick - unpack('>I4', s, from + 4 * middle - 4)) % lap < life then first = middle else low = middle end
            end
          end
          reset = (tick - age + span) * unit - now
        end
      end
      used = n - first + 1
      if need <= limit and used + need > limit then
        age = (tick - unpack('>I4', s, from + 4 * (first + used + need - limit - 2))) % lap
        retry = (tick - age + span) * unit - now
      elseif need <= limit and cost > 0 then
        keep, last = from + 4 * first - 4, stop - 1
        back = pack('>I4', tick % lap)
        if cost > 1 then back = rep(back, cost) end
        ready = ready and first < 34
      end
    else
      local width = kind - 32
      local count = width == 2 and '>I2' or width == 4 and '>I4' or '>I6'
      local head = width == 2 and '>I4I6I2' or width == 4 and '>I4I6I4' or '>I4I6I6'
      local slot = (now - now % unit) / unit
      -- The slots before the newest one, and how long ago that was.
      local older, distance, current = -1, 0, 0
      if stop > from then
        local newest
        newest, used, current = unpack(head, s, from)
        distance = (slot - newest) % lap
        older = (stop - from - 10) / width - 1
        if distance > span then
          used, older = 0, -1
        else
          while older > 0 and older + distance > span do
            used = used - unpack(count, s, from + 10 + width * older)
            older = older - 1
          end
          reset = (slot - distance + span + 1) * unit - now
        end
      end
      if need <= limit and used + need > limit then
        local room, i = used + need - limit, older
        while true do
          room = room - unpack(count, s, from + 10 + width * i)
          if room <= 0 then break end
          i = i - 1
        end
        retry = (slot - distance - i + span + 1) * unit - now
      elseif need <= limit and cost > 0 then
        last = from + 9 + width * (older + 1)
        if older < 0 or distance > 0 then
          keep, ready = from + 10, false
          front = pack(head, slot % lap, used + cost, cost)
          if older >= 0 and distance > 1 then front = front .. rep('\0', width * (distance - 1)) end
        else
          keep = from + 10 + width
          front = pack(head, slot % lap, used + cost, current + cost)
        end
      end
    end
    if need > limit then retry = -1 end

    if retry ~= 0 then
      admitted = false
    elseif cost == 0 then
      charged = false
    else
      -- Until when the key must live, and is sure to: half a second less than its time to live, which Redis counts in
      -- milliseconds from a moment before.
      local life = window + (window - window % 4) / 4 + 500000
      local only = p == 13 and stop > #s
      local value
      local mode = 'PSETEX'
      if left >= window and left < whole / 2 then
        life, mode = left, 'SET'
      end
      if direct and only and ready and mode == 'SET' then
        if kind == 1 then value, mode = back, 'APPEND' else value, mode = front, 'SETRANGE' end
      elseif only then
        value = pack('>I6I6I4BI2I5', (now + life) % whole, now % whole, id, kind, 0, unit) .. front .. sub(s, keep, last) .. back
      else
        local payload = front .. sub(s, keep, last) .. back
        local section = pack('>I4BI2I5', id, kind, #payload, unit) .. payload
        -- The one that was the only section is no longer so.
        if unpack('>I2', s, 18) == 0 then s = sub(s, 1, 17) .. pack('>I2', #s - 24) .. sub(s, 20) end
        value = pack('>I6I6', (now + life) % whole, now % whole) .. sub(s, 13, p - 1) .. section .. sub(s, stop)
      end
      local ttl = mode == 'PSETEX' and format('%d', life / 1000 + 501)
      if rules == 1 and direct then
        if mode == 'PSETEX' then
          call(mode, KEYS[1], ttl, value)
        elseif mode == 'APPEND' then
          call(mode, KEYS[1], value)
        elseif mode == 'SETRANGE' then
          call(mode, KEYS[1], '24', value)
        else
          call(mode, KEYS[1], value, 'KEEPTTL')
        end
        if receipt then return {1, now, limit - used - cost, 0, reset} end
        return limit - used - cost
      end
      changed, how = changed or {}, how or {}
      changed[k] = value
      how[k] = ttl or how[k] or modes and modes[k] or mode
    end
    local remaining = limit > used and limit - used or 0
    if rules == 1 and requests == 1 and not receipt then return {admitted and 1 or 0, remaining, retry, reset} end
    report = report or {}
    local i = 4 * r
    report[i], report[i + 1], report[i + 2], report[i + 3] = remaining, cost, retry, reset
  end

  if admitted and changed then
    if not states then
      states, modes = changed, how
    else
      for k, s in pairs(changed) do states[k], modes[k] = s, how[k] end
    end
  end
  local brief = admitted and charged and requests == 1 and not receipt
  reply = reply or {}
  if not brief then reply[#reply + 1] = admitted and 1 or 0 end
  if receipt then reply[2] = now end
  for i = 4, 4 * rules, 4 do
    reply[#reply + 1] = admitted and report[i] - report[i + 1] or report[i]
    if not brief then
      reply[#reply + 1] = report[i + 2]
      reply[#reply + 1] = report[i + 3]
    end
  end
end

if states then
  for k = 1, keys do
    local mode = modes[k]
    if mode == 'APPEND' then
      call(mode, KEYS[k], states[k])
    elseif mode == 'SETRANGE' then
      call(mode, KEYS[k], '24', states[k])
    elseif mode == 'SET' then
      call(mode, KEYS[k], states[k], 'KEEPTTL')
    elseif mode then
      call('PSETEX', KEYS[k], mode, states[k])
    end
  end
end
return reply
