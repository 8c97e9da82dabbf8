-- Decides all sliding-window rules of one request, all or nothing.
--
-- KEYS     one a distinct (user, endpoint)
-- ARGV     [1 .. #KEYS]  time to live of each key, in milliseconds, decimal: at least the longest window of its rules
--          [#KEYS + r]   rule r, 32 bytes, big-endian: key index (1), rule id (4), limit (6), window in microseconds
--                        (6), width in microseconds (6), keep (2), cost (7); cost 0 asks without charging
-- Reply    admitted, one rule, charged:           the remaining quota, an integer
--          admitted, several rules, all charged:  an array of the remaining quotas
--          otherwise:                             {1 or 0, then for each rule: remaining, retry after, reset after},
--                        times in microseconds: retry after is 0 where the rule admits and -1 where it never will,
--                        reset after is as it was before this request
-- State    a string of sections, one a rule: id (4), entries (2), opening time of the newest entry (6), units charged
--          so far (6), then 12 bytes an entry: time of its last charge (6), units charged before it (6). Times are
--          microseconds and units are counts, both modulo 2^48.
-- Invariant  within any window, the units admitted never exceed the limit: an entry counts in full until a window
--          after its last charge. Charges share an entry only beyond `keep` live entries, and only within `width` of
--          its opening, so that a unit counts at most `width` too long, and never too short.
-- Clock    that of the server. State from the future (a clock that stepped back, a failover) is taken as of now, so
--          that nobody waits longer than a window for it.
-- Cost     TIME, then GET a key, then SET a key when all rules admit.

local call, unpack, pack, sub = redis.call, struct.unpack, struct.pack, string.sub
local modulus = 281474976710656
local time = call('TIME')
local now = (time[1] * 1000000 + time[2]) % modulus
local keys = #KEYS
local rules = #ARGV - keys
local states, sizes, report
local admitted, charged = true, true

for r = 1, rules do
  local k, id, limit, window, width, keep, cost = unpack('>BI4I6I6I6I2I7', ARGV[keys + r])
  local s = states and states[k] or call('GET', KEYS[k]) or ''
  local size = #s

  -- The section of this rule is s[p .. stop - 1]; entry i starts at p + 6 + 12 * i.
  local p, n, open, total = 1, 0, 0, 0
  while p < size do
    local section
    section, n, open, total = unpack('>I4I2I6I6', s, p)
    if section == id then break end
    p = p + 18 + 12 * n
    n, total = 0, 0
  end
  local stop = n > 0 and p + 18 + 12 * n or p

  -- The first live entry, the units charged before it, and the age of the newest.
  local first, before, age = 1, total, window
  if n > 0 then
    local last, t, c
    last, before = unpack('>I6I6', s, stop - 12)
    age = (now - last) % modulus
    if age >= modulus / 2 then
      local entries = {}
      for i = 1, n do
        t, c = unpack('>I6I6', s, p + 6 + 12 * i)
        entries[i] = pack('>I6I6', (now - t) % modulus < modulus / 2 and t or now, c)
      end
      s = sub(s, 1, p + 17) .. table.concat(entries) .. sub(s, stop)
      open, age = now, 0
    end
    if age >= window then
      first, before = n + 1, total
    else
      t, c = unpack('>I6I6', s, p + 18)
      if (now - t) % modulus < window then
        before = c
      else
        local low, high = 1, n
        while high - low > 1 do
          local middle = (low + high - (low + high) % 2) / 2
          t, c = unpack('>I6I6', s, p + 6 + 12 * middle)
          if (now - t) % modulus < window then
            high, before = middle, c
          else
            low = middle
          end
        end
        first = high
      end
    end
  end

  local used = (total - before) % modulus
  local retry = 0
  if used + cost > limit or cost == 0 then
    local need = cost
    if cost == 0 then need, charged = 1, false end
    if need > limit then
      admitted, retry = false, -1
    elseif used + need > limit then
      -- The first entry whose end leaves room.
      admitted = false
      local room = used + need - limit
      local low, high = first, n
      while low < high do
        local middle = (low + high - (low + high) % 2) / 2
        local _, c = unpack('>I6I6', s, p + 18 + 12 * middle)
        if (c - before) % modulus >= room then high = middle else low = middle + 1 end
      end
      retry = (unpack('>I6', s, p + 6 + 12 * low) + window - now) % modulus
    end
  else
    local section
    local live = n - first + 1
    local charges = (total + cost) % modulus
    if live > 0 and live >= keep and (now - open) % modulus < width then
      section = pack('>I4I2I6I6', id, live, open, charges) .. sub(s, p + 6 + 12 * first, stop - 13) ..
                pack('>I6', now) .. sub(s, stop - 6, stop - 1)
    elseif live > 0 then
      section = pack('>I4I2I6I6', id, live + 1, now, charges) .. sub(s, p + 6 + 12 * first, stop - 1) ..
                pack('>I6I6', now, total)
    else
      section = pack('>I4I2I6I6I6I6', id, 1, now, charges, now, total)
    end
    if rules == 1 and p == 1 and stop > size then
      call('SET', KEYS[1], section, 'PX', ARGV[1])
      return limit - used - cost
    end
    s = sub(s, 1, p - 1) .. section .. sub(s, stop)
    sizes = sizes or {}
    sizes[k] = (sizes[k] or 0) + #section
  end
  states = states or {}
  states[k] = s
  report = report or {}
  report[r] = {limit > used and limit - used or 0, cost, retry, age < window and window - age or 0}
end

if admitted and sizes then
  for k, size in pairs(sizes) do
    -- Sections of rules that this request does not name may need the key for longer.
    if #states[k] > size and call('PTTL', KEYS[k]) > ARGV[k] + 0 then
      call('SET', KEYS[k], states[k], 'KEEPTTL')
    else
      call('SET', KEYS[k], states[k], 'PX', ARGV[k])
    end
  end
end
local brief = admitted and charged
local reply = brief and {} or {admitted and 1 or 0}
for r = 1, rules do
  local rule = report[r]
  reply[#reply + 1] = admitted and rule[1] - rule[2] or rule[1]
  if not brief then
    reply[#reply + 1] = rule[3]
    reply[#reply + 1] = rule[4]
  end
end
if brief and rules == 1 then return reply[1] end
return reply
