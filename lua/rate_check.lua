-- Decides the rate limit rules of a request, all or nothing; or of several requests, one after the other.
--
-- KEYS     one a distinct (user, endpoint); with an order that keeps a record, its key last
-- ARGV     one a request: its rules, each 38 bytes, big-endian: key index (1), algorithm (1), flags (1), rule id (4), limit
--          (6), window in microseconds (6), unit in microseconds (6), rate (6), cost (7); cost 0 asks without charging.
--          One rule and then up to 37 key indexes more (1 each): so many requests more, alike but for their key.
--          Flags: 1 shadow (where it has no room it refuses nobody, and is not charged), 2 forced (charged in any case).
--          A token bucket has as limit its burst, as window and rate that `window / rate` microseconds bring a token back.
--          A penalty (5) comes before the rule whose refusals it counts: its limit is how many, within `rate`
--          microseconds, block for `window`.
--          A last one that is shorter is an order, with one request before it:
--          empty: asks for a receipt
--          what (1), time to live in milliseconds (6), holder (8): asks for a receipt; in `concurrency` rules the holder
--          gets a lease, or a new one for that he has; and where what is not 0, there is a record:
--            1 once: where there is a record already, its reply is the answer, and nothing is charged; where it is of a
--              place that has not come yet (rate_wait.lua), a refusal until then
--            2 extend: charges more to what is recorded, and prolongs it
--            3 settle: the costs are what was used of what was charged: takes back or charges the difference, once
-- Reply    one request, one rule, charged:            the remaining quota, an integer; so, too, where several of one rule
--                        are alike, of one key and all charged: what remains after the last, but in a fixed window
--          one request, several rules, all charged:   an array of the remaining quotas
--          otherwise, or with a fixed window among the rules: 1 or 0 (admitted), then for each rule: remaining, retry
--                        after, reset after, times in microseconds: retry after is 0 where the rule admits and -1 where
--                        it never will, reset after is as it was before this request, or the end of a fixed window
--                        of one rule as a string: 128 (1), and the four of them (8 each, big-endian); otherwise an array
--          several requests: the same for each, in one array; -1 or -2 in the place of 1 or 0; requests alike that were
--                        answered alike have one answer, the last one's, and before it -1 - how many they are: where they
--                        were charged, each had its cost more remaining than the one after it
--          with a receipt: 1 or 0, the time of the charge in microseconds, then the rules as above
--          extend or settle: -1 where there is no record (its time is over); extend: -2 where it is settled
--          settle: 1, the time of the decision, then for each rule the units recorded, and those taken back
-- State    a string: until when it is sure to live, and when it was last written as a whole (6 each: microseconds modulo
--          2^48), then sections, one a rule: rule id (4), algorithm (1), bytes of its payload (3; 0: to the end, where it
--          is the only section), unit (6), payload:
--          log (1): the time of each unit charged, in units, rounded up, modulo 2^32 (4), oldest first
--          token bucket (2): when (6, microseconds modulo 2^48) how much was owed (7; `window` a token), `window` (6)
--          counters (32 + bytes of a count: 2, 4, 6): the newest slot, a slot being one unit of time, modulo 2^32 (4);
--                        the units charged in all slots that are here (6); those of the newest slot, of the one before
--                        it, and so on
--          fixed window (3): as counters of 6 bytes whose slot is the window
--          concurrency (4): when it was written (4, in units, rounded up, modulo 2^32), units held (6), and the leases:
--                        until when (4), units (4), holder (8), the first to end first
--          with places (64 and more): parts/rate_places.lua
--          penalty (5): when it was written, refusals, the time of the first, blocked until (4 each, times as above)
--          The record: 0, 1 where it is settled, or by how many askers it is held where those are several (1), the time of
--          the decision or of the place (7), the rules of the request (1), of each remaining (7; and 2^48 where a place is
--          waited for because of it) and reset after (7), the request itself, and a step a charge: time (7), units of each
--          rule (7); one for all that are long over
-- Invariant  within any window, the units admitted never exceed the limit: in a log each counts until a window after
--          its charge, rounded up to a unit; in counters until a window after the end of its slot.
-- Clock    that of the server. State from the future (a clock that stepped back, a failover) is written anew as of now,
--          so that nobody waits longer than a window for it. State of another shape (the rule was changed) counts as
--          charged when the last of it was.
-- Cost     TIME, then a GET of the key or an MGET of several, then one write a key when all rules admit: PSETEX; SET,
--          where the key lives long enough; APPEND (log) or SETRANGE (counters), where moreover its state is that of one
--          rule and has nothing to be dropped. Requests alike for one key are read and written once. A GET and a PSETEX
--          for a record. A new string costs Lua a hash of every byte, so few are made, and short ones; a function costs
--          its making in every call, so those that few requests need are made when first needed; each line costs.

local names, argv, call, listed = KEYS, ARGV, redis.call, unpack
local unpack, pack, sub, rep, byte = struct.unpack, struct.pack, string.sub, string.rep, string.byte
local lap, whole = 4294967296, 281474976710656
local time = call('TIME')
local now = time[1] * 1000000 + time[2]
local keys, requests = #names, #argv
local order, holder, what = #argv[requests] < 38, nil, 0
local states, modes, reply, rare, replaced

-- What it needs is told it: a function costs the making of what it shares with this one in every call, too.
local function make_rare(now, keys, holder, what)
  local call, unpack, pack, sub, rep = redis.call, struct.unpack, struct.pack, string.sub, string.rep
  local format, lap, whole = string.format, 4294967296, 281474976710656
-- include parts/rate_sections.lua
-- include parts/rate_places.lua
-- include parts/rate_leases.lua
-- include parts/rate_penalties.lua
-- include parts/rate_records.lua
  return {renew = renew, from_future = from_future, adapt = adapt, first_room = first_room, lease = lease, blocked = blocked,
          punish = punish, begin = begin, finish = finish}
end

if order then
  requests = requests - 1
  if argv[requests + 1] ~= '' then
    what, holder = unpack('B', argv[requests + 1]), sub(argv[requests + 1], 8)
    if what > 0 then
      keys = keys - 1
      rare = make_rare(now, keys, holder, what)
      replaced, reply = rare.begin()
      if reply then return reply end
    end
  end
end

-- Half of what a call costs is not the key's: several keys are read at once, where the user may. What has been written
-- since is read again, and what is not there, too: of a key of another type that tells.
local read = keys > 1 and redis.pcall('MGET', listed(names, 1, keys))
if read and read.err then read = nil end
local several = requests > 1 or #argv[1] % 38 > 0

local q, group = 1, false
local request, size, rules, next_key
local k, kind, flags, id, limit, window, unit, rate, charge
while q <= requests do
  if not group then
    request = replaced or argv[q]
    size = #request
    rules = (size - size % 38) / 38
    next_key = 38 * rules + 1
  end
  local admitted, charged, punishing, barred = true, true, false, false
  local changed, how, report, answered, refused
  -- What is decided here is written as it is: one rule a key; at once, where it is the only one of its request.
  local direct = what == 0 and (rules == 1 or rules == keys and not several)

  for r = 1, rules do
    if not group then
      k, kind, flags, id, limit, window, unit, rate, charge = unpack('>BBBI4I6I6I6I6I7', request, 38 * r - 37)
    end
    local s = changed and changed[k] or states and states[k] or read and read[k] or call('GET', names[k]) or ''

    local p, from, stop, ready, places, left, used, retry, reset, front, keep, last, back, alike, cost
    local need = charge > 0 and charge or 1
    local forced = flags >= 2
    local lasting = window
    local ahead = false
    repeat
      if ahead then
        rare = rare or make_rare(now, keys, holder, what)
        s, ahead = rare.renew(s), false
        call('SET', names[k], s, 'KEEPTTL')
        if read then read[k] = nil end
      end

      -- The section of this rule is s[p .. stop - 1], its payload s[from .. stop - 1]; ready: as the server has it.
      p = 13
      from = 27
      stop = 27
      ready = false
      places = ''
      left = 0
      if #s > 12 then
        local until_when, written, i, a, n, u = unpack('>I6I6I4BI3I6', s)
        local idle = (now - written) % whole
        left = (until_when - now) % whole
        while true do
          from, stop = p + 14, n > 0 and p + 14 + n or #s + 1
          if i == id then
            ready = n == 0
            -- That of several is written with the state as a whole; whether what is written alone is from the future is
            -- seen below. What other rules kept alive may be too old for its modulus.
            if idle >= whole / 2 then
              ahead = true
            elseif n > 0 and a ~= 2 and kind ~= 2 and idle > 2 * window and idle > 2 * rate then
              s = sub(s, 1, from - 1) .. sub(s, stop)
              stop = from
            end
            if a ~= kind or u ~= unit then
              ready = false
              rare = rare or make_rare(now, keys, holder, what)
              ahead = ahead or n == 0 and rare.from_future(s, from, stop, a, u)
              if not ahead then
                s, stop, places = rare.adapt(s, from, stop, a, u, kind, unit, limit, window, rate)
              end
            end
            break
          end
          p = stop
          if p > #s then
            from, stop = p, p
            break
          end
          i, a, n, u = unpack('>I4BI3I6', s, p)
        end
      end
      if ahead then stop = from end

      -- Where the rule admits, its payload becomes front .. s[keep .. last] .. back; ready: all but front (counters) or
      -- back (log) is in place already.
      used = 0
      retry = 0
      reset = 0
      front = ''
      keep = 1
      last = 0
      back = ''
      cost = charge
      -- Requests alike for the same key are charged at once, as many as there is room for; refused, all are told the same.
      alike = 1
      if next_key <= size and byte(request, next_key) == k and flags == 0 and places == '' and not states then
        alike = 2
        -- Below '!' a character stands for itself in a pattern, which counts them faster than a loop here.
        if k < 33 then alike = #string.match(request, '^' .. sub(request, next_key, next_key) .. '*', next_key) + 1 end
      end

      if kind == 1 then
        -- Ages count from the present tick; an entry is live below `life`.
        local span = (window - window % -unit) / unit
        local early = (unit - now % unit) % unit
        local tick = (now + early) / unit
        local life = early > 0 and span + 1 or span
        local n = (stop - from) / 4
        local first, age = n + 1, life
        if n > 0 then
          age = (tick - unpack('>I4', s, stop - 4)) % lap
          ahead = age >= lap / 2
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
        if forced then
          -- More than the limit tells no later request more than the newest of it do.
          cost = math.min(cost, limit)
          local over = math.max(0, used + cost - limit)
          first, used = first + over, used - over
        end
        if need <= limit and used + need > limit and not forced then
          age = (tick - unpack('>I4', s, from + 4 * (first + used + need - limit - 2))) % lap
          retry = (tick - age + span) * unit - now
        elseif (need <= limit or forced) and cost > 0 then
          if alike > 1 then
            alike = math.min(alike, math.floor((limit - used) / need))
            cost = need * alike
          end
          keep, last = from + 4 * first - 4, stop - 1
          back = pack('>I4', tick % lap)
          if cost > 1 then back = rep(back, cost) end
          ready = ready and first < 34
        end
      elseif kind == 3 or kind > 32 then
        local width = kind == 3 and 6 or kind - 32
        local span = kind == 3 and 0 or (window - window % -unit) / unit
        local head = width == 2 and '>I4I6I2' or width == 4 and '>I4I6I4' or '>I4I6I6'
        local slot = (now - now % unit) / unit
        -- The slots before the newest one, and how long ago that was.
        local older, distance, current = -1, 0, 0
        if stop > from then
          local newest
          newest, used, current = unpack(head, s, from)
          distance = (slot - newest) % lap
          ahead = distance >= lap / 2
          older = (stop - from - 10) / width - 1
          if distance > span then
            used, older = 0, -1
          else
            while older > 0 and older + distance > span do
              used = used - unpack(width == 2 and '>I2' or width == 4 and '>I4' or '>I6', s, from + 10 + width * older)
              older = older - 1
            end
            reset = (slot - distance + span + 1) * unit - now
          end
        end
        if kind == 3 then reset = (slot + 1) * unit - now end
        if forced then
          -- As much as a count, and their sum, can hold: what is taken back later must not come off a smaller debt.
          local most = width == 2 and 65535 or width == 4 and lap - 1 or whole / 2
          cost = math.min(cost, distance > 0 and most or most - current, whole - 1 - used)
        end
        if need <= limit and used + need > limit and not forced then
          local room, i = used + need - limit, older
          while true do
            room = room - unpack(width == 2 and '>I2' or width == 4 and '>I4' or '>I6', s, from + 10 + width * i)
            if room <= 0 then break end
            i = i - 1
          end
          retry = (slot - distance - i + span + 1) * unit - now
        elseif (need <= limit or forced) and cost > 0 then
          if alike > 1 then
            alike = math.min(alike, math.floor((limit - used) / need))
            cost = need * alike
          end
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
      elseif kind == 2 then
        local full, debt = limit * window, 0
        if stop > from then
          local stamp, owed, interval = unpack('>I6I7I6', s, from)
          if interval ~= window then owed = math.ceil(owed / interval) * window end
          local gone = (now - stamp) % whole
          ahead = gone >= whole / 2
          debt = owed - gone * rate
          if debt < 0 then debt = 0 end
          reset = math.ceil(debt / rate)
        end
        used = math.ceil(debt / window)
        local over = debt + need * window - full
        if need <= limit and over > 0 and not forced then
          retry = math.ceil(over / rate)
        elseif (need <= limit or forced) and cost > 0 then
          if alike > 1 then
            alike = math.min(alike, math.floor((full - debt) / (need * window)))
            cost = need * alike
          end
          debt = math.min(debt + cost * window, 2 * full)
          front = pack('>I6I7I6', now % whole, debt, window)
          lasting = math.ceil(math.max(debt, full) / rate)
        end
      elseif kind == 4 then
        rare = rare or make_rare(now, keys, holder, what)
        used, retry, reset, front = rare.lease(s, from, stop, limit, window, unit, cost)
        if cost > 0 and retry == 0 and need <= limit and not front then return redis.error_reply('ERR a lease needs a holder') end
        front = front or ''
      else
        rare = rare or make_rare(now, keys, holder, what)
        retry, reset = rare.blocked(s, from, stop, unit)
        need, cost, punishing, barred = 0, -1, true, retry ~= 0
      end
    until not ahead

    if need > limit and not forced then retry = -1 end
    local shown = kind
    if places ~= '' then
      -- Who waits comes first.
      local at
      at, used, reset = rare.first_room(sub(s, from, stop - 1), kind, unit, window, rate, limit, math.min(need, limit), places)
      reset = reset - now
      if retry >= 0 and not forced then retry = at - now end
      shown, front, lasting = kind + 64, places .. front, at - now + lasting
    end

    if retry ~= 0 then
      if flags % 2 == 0 then admitted = false else charged = false end
      refused = alike
      next_key = next_key + alike - 1
    elseif cost == 0 or barred and kind ~= 5 then
      charged = false
    elseif cost > 0 then
      -- Until when the key must live, and is sure to: half a second less than its time to live, which Redis counts in
      -- milliseconds from a moment before.
      local lives = left >= lasting and left < whole / 2
      local fresh = direct and not (states and states[k])
      local value, mode, ttl
      if fresh and ready and lives and kind ~= 4 then
        if kind == 1 then value, mode = back, 'APPEND' else value, mode = front, 'SETRANGE' end
      else
        local life = left
        mode = 'SET'
        if not lives then
          life = lasting + (lasting - lasting % 4) / 4 + 500000
          mode, ttl = 'PSETEX', string.format('%d', life / 1000 + 501)
        end
        local payload = front .. sub(s, keep, last) .. back
        if p == 13 and stop > #s then
          value = pack('>I6I6I4BI3I6', (now + life) % whole, now % whole, id, shown, 0, unit) .. payload
        else
          -- The one that was the only section is no longer so.
          if unpack('>I3', s, 18) == 0 then s = sub(s, 1, 17) .. pack('>I3', #s - 26) .. sub(s, 21) end
          value = pack('>I6I6', (now + life) % whole, now % whole) .. sub(s, 13, p - 1) ..
                  pack('>I4BI3I6', id, shown, #payload, unit) .. payload .. sub(s, stop)
        end
      end
      if rules == 1 and fresh then
        if mode == 'SETRANGE' then
          call(mode, names[k], '26', value)
        elseif mode == 'APPEND' then
          call(mode, names[k], value)
        elseif mode == 'PSETEX' then
          call(mode, names[k], ttl, value)
        else
          call(mode, names[k], value, 'KEEPTTL')
        end
        if read then read[k] = nil end
        local remaining = limit - used - cost
        if remaining < 0 then remaining = 0 end
        if order then return {1, now, remaining, 0, reset} end
        if not several and kind == 3 then return pack('>Bi8i8i8i8', 128, 1, remaining, 0, reset) end
        next_key = next_key + alike - 1
        if next_key > size and not reply and q == requests and kind ~= 3 then return remaining end
        reply = reply or {}
        local i = #reply + 1
        if alike > 1 then
          reply[i] = -1 - alike
          i = i + 1
        end
        if kind == 3 then
          reply[i], reply[i + 1], reply[i + 2], reply[i + 3] = -1, remaining, 0, reset
        else
          reply[i] = remaining
        end
        answered = true
        break
      end
      if kind == 3 then charged = false end
      changed, how = changed or {}, how or {}
      changed[k] = value
      how[k] = ttl or how[k] or modes and modes[k] or mode
    end
    local remaining = limit > used and limit - used or 0
    if rules == 1 and not several and not order then
      return pack('>Bi8i8i8i8', 128, admitted and 1 or 0, remaining, retry, reset)
    end
    report = report or {}
    local i = 4 * r
    report[i], report[i + 1], report[i + 2], report[i + 3] = remaining, retry == 0 and not barred and cost or 0, retry, reset
    if kind ~= 5 then barred = false end
  end

  if punishing and not admitted then
    rare.punish(request, report, states, modes)
    read = nil
  end
  if admitted and changed then
    if not states then
      states, modes = changed, how
    else
      for k, s in pairs(changed) do states[k], modes[k] = s, how[k] end
    end
  end
  if not answered then
    local brief = admitted and charged and not order
    reply = reply or {}
    if refused and refused > 1 then reply[#reply + 1] = -1 - refused end
    if not brief then reply[#reply + 1] = (admitted and 1 or 0) - (several and 2 or 0) end
    if order then reply[2] = now end
    for i = 4, 4 * rules, 4 do
      reply[#reply + 1] = admitted and math.max(0, report[i] - math.max(0, report[i + 1])) or report[i]
      if not brief then
        reply[#reply + 1] = report[i + 2]
        reply[#reply + 1] = report[i + 3]
      end
    end
  end

  group = next_key <= size
  if group then
    k = byte(request, next_key)
    next_key = next_key + 1
  else
    q = q + 1
  end
end

if states then
  for k = 1, keys do
    local mode = modes[k]
    if mode == 'APPEND' then
      call(mode, names[k], states[k])
    elseif mode == 'SETRANGE' then
      call(mode, names[k], '26', states[k])
    elseif mode == 'SET' then
      call(mode, names[k], states[k], 'KEEPTTL')
    elseif mode then
      call('PSETEX', names[k], mode, states[k])
    end
  end
end
if what > 0 then return rare.finish(reply) end
return reply
