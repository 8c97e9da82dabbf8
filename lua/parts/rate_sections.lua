-- The sections of the state that lua/rate_check.lua describes: what few requests have to do with them. Included where a
-- script says so, after `call, unpack, pack, sub, rep`, `lap`, `whole` and `now`.

local function ceil_ticks(at, unit) return (at + (unit - at % unit) % unit) / unit end
local function floor_ticks(at, unit) return (at - at % unit) / unit end
local function signed(ticks)
  ticks = ticks % lap
  return ticks < lap / 2 and ticks or ticks - lap
end
local function count_of(kind)
  if kind == 34 then return 2, '>I2' elseif kind == 36 then return 4, '>I4' end
  return 6, '>I6'
end

-- Where the section of a rule begins, its algorithm and unit, where its payload begins, and where that has ended.
local function find(s, id)
  local p = 13
  while p < #s do
    local i, kind, n, unit = unpack('>I4BI3I6', s, p)
    local stop = n > 0 and p + 14 + n or #s + 1
    if i == id then return p, kind, unit, p + 14, stop end
    p = stop
  end
end

-- The state with another payload in the section that begins at p: one that is the only section says no size; one of
-- several that has nothing left goes, and the whole with the last of them.
local function replace(s, p, stop, kind, unit, payload)
  local only = unpack('>I3', s, p + 5) == 0
  if payload == '' and not only then
    local rest = sub(s, 1, p - 1) .. sub(s, stop)
    return #rest > 12 and rest or ''
  end
  return sub(s, 1, p + 3) .. pack('>BI3I6', kind, only and 0 or #payload, unit) .. payload .. sub(s, stop)
end

-- The state with one more section.
local function append(s, id, kind, unit, payload)
  if s == '' then
    return pack('>I6I6I4BI3I6', now % whole, now % whole, id, kind, 0, unit) .. payload
  end
  if unpack('>I3', s, 18) == 0 then s = sub(s, 1, 17) .. pack('>I3', #s - 26) .. sub(s, 21) end
  return s .. pack('>I4BI3I6', id, kind, #payload, unit) .. payload
end

local charge_due, take_back_places

-- State from the future, as of now.
local function renew(s)
  local parts, p = {sub(s, 1, 6) .. pack('>I6', now % whole)}, 13
  while p < #s do
    local _, kind, n, unit = unpack('>I4BI3I6', s, p)
    local from, stop = p + 14, n > 0 and p + 14 + n or #s + 1
    if kind > 63 then
      -- Who waits is charged now.
      s, kind = replace(s, p, stop, kind - 64, unit, (charge_due(s, from, stop, kind, unit, true))), kind - 64
      stop = n > 0 and p + 14 + unpack('>I3', s, p + 5) or #s + 1
    end
    parts[#parts + 1] = sub(s, p, p + 13)
    if kind == 1 then
      parts[#parts + 1] = rep(pack('>I4', ceil_ticks(now, unit) % lap), (stop - from) / 4)
    elseif kind == 2 then
      parts[#parts + 1] = pack('>I6', now % whole) .. sub(s, from + 6, stop - 1)
    elseif kind == 4 then
      local tick, stamp = ceil_ticks(now, unit), unpack('>I4', s, from)
      parts[#parts + 1] = pack('>I4', tick % lap) .. sub(s, from + 4, from + 9)
      for at = from + 10, stop - 16, 16 do
        parts[#parts + 1] = pack('>I4', (unpack('>I4', s, at) - stamp + tick) % lap) .. sub(s, at + 4, at + 15)
      end
    elseif kind == 5 then
      local tick = ceil_ticks(now, unit)
      local stamp, count, first, blocked = unpack('>I4I4I4I4', s, from)
      parts[#parts + 1] = pack('>I4I4I4I4', tick % lap, count, (first - stamp + tick) % lap, (blocked - stamp + tick) % lap)
    elseif stop > from then
      parts[#parts + 1] = pack('>I4', floor_ticks(now, unit) % lap) .. sub(s, from + 4, stop - 1)
    end
    p = stop
  end
  return table.concat(parts)
end

-- Whether a section of another shape than its rule's was written later than now.
local function from_future(s, from, stop, kind, unit)
  if stop == from or kind > 63 then return false end
  if kind == 2 then return (now - unpack('>I6', s, from)) % whole >= whole / 2 end
  local tick = (kind == 3 or kind > 32) and floor_ticks(now, unit) or ceil_ticks(now, unit)
  return (tick - unpack('>I4', s, kind == 1 and stop - 4 or from)) % lap >= lap / 2
end

-- What a section of another shape holds, in that of the rule: as charged when the last of it was.
local function convert(s, from, stop, was, step, kind, unit, limit, window)
  local units, last = 0, now
  if was == 1 then
    local tick = ceil_ticks(now, step)
    local span, age = ceil_ticks(window, step), 0
    if tick * step > now then span = span + 1 end
    for at = from, stop - 4, 4 do
      age = (tick - unpack('>I4', s, at)) % lap
      if age < span then units = units + 1 end
    end
    last = (tick - age) * step
  elseif was == 2 then
    local _, owed, interval = unpack('>I6I7I6', s, from)
    units = math.ceil(owed / interval)
  elseif was == 4 and kind == 4 then
    local parts = {pack('>I4', ceil_ticks(now, unit) % lap) .. sub(s, from + 4, from + 9)}
    for at = from + 10, stop - 16, 16 do
      local left = signed(unpack('>I4', s, at) - floor_ticks(now, step)) * step
      parts[#parts + 1] = pack('>I4', ceil_ticks(now + left, unit) % lap) .. sub(s, at + 4, at + 15)
    end
    return table.concat(parts)
  elseif was == 4 then
    units = unpack('>I6', s, from + 4)
  elseif was == 3 then
    if stop > from and unpack('>I4', s, from) == floor_ticks(now, step) % lap then units = unpack('>I6', s, from + 4) end
  elseif was ~= 5 and stop > from then
    local width, count = count_of(was)
    local span = ceil_ticks(window, step)
    local distance = (floor_ticks(now, step) - unpack('>I4', s, from)) % lap
    for j = 0, (stop - from - 10) / width - 1 do
      if distance + j <= span then units = units + unpack(count, s, from + 10 + width * j) end
    end
    last = (floor_ticks(now, step) - distance + 1) * step
  end
  last = math.min(last, now)
  units = math.min(units, limit)
  if units == 0 or kind == 5 then return '' end
  if kind == 1 then return rep(pack('>I4', ceil_ticks(last, unit) % lap), units) end
  if kind == 2 then return pack('>I6I7I6', now % whole, units * window, window) end
  if kind == 4 then
    local tick = ceil_ticks(now, unit)
    return pack('>I4I6I4I4', tick % lap, units, (tick + ceil_ticks(window, unit)) % lap, units) .. rep('\0', 8)
  end
  if kind == 3 then last = now end
  local _, count = count_of(kind)
  return pack('>I4I6', floor_ticks(last, unit) % lap, units) .. pack(count, units)
end

-- The state with the payload in the shape of the rule, where that ends, and the places that are waited for.
local function adapt(s, from, stop, was, step, kind, unit, limit, window, rate)
  local places, payload = '', nil
  if was > 63 and stop > from then
    payload, places = charge_due(s, from, stop, was, step, was - 64 ~= kind or step ~= unit, window, rate)
    s, was, stop = sub(s, 1, from - 1) .. payload .. sub(s, stop), was - 64, from + #payload
  end
  if stop > from and (was ~= kind or step ~= unit) then
    payload = convert(s, from, stop, was, step, kind, unit, limit, window)
    s, stop = sub(s, 1, from - 1) .. payload .. sub(s, stop), from + #payload
  end
  return s, stop, places
end

-- Where a holder's entry begins in the payload of leases.
local function lease_of(s, from, stop, holder)
  for at = from + 10, stop - 16, 16 do
    if sub(s, at + 8, at + 15) == holder then return at end
  end
end

local function without_charges(s, from, stop, unit, window, units, at)
  local tick, span = ceil_ticks(now, unit), ceil_ticks(window, unit)
  if tick * unit > now then span = span + 1 end
  local entry = at and pack('>I4', ceil_ticks(at, unit) % lap)
  local first, last, taken = stop, stop, 0
  for here = stop - 4, from, -4 do
    local e = sub(s, here, here + 3)
    if taken == units or (tick - unpack('>I4', e)) % lap >= span then break end
    if not entry or e == entry then
      if taken == 0 then last = here + 4 end
      first, taken = here, taken + 1
    elseif taken > 0 then
      break
    end
  end
  return sub(s, from, first - 1) .. sub(s, last, stop - 1), taken
end

local function without_counts(s, from, stop, kind, unit, window, units, at)
  if stop == from then return '', 0 end
  local width, count = count_of(kind)
  local newest, used = unpack('>I4I6', s, from)
  local distance = (floor_ticks(now, unit) - newest) % lap
  local span = kind == 3 and 0 or ceil_ticks(window, unit)
  local first, last = 0, (stop - from - 10) / width - 1
  if at then
    first = (newest - floor_ticks(at, unit)) % lap
    last = math.min(last, first)
  end
  local parts, taken = {}, 0
  for j = 0, (stop - from - 10) / width - 1 do
    local n = unpack(count, s, from + 10 + width * j)
    if j >= first and j <= last and distance + j <= span then
      local less = math.min(n, units - taken)
      n, taken = n - less, taken + less
    end
    parts[#parts + 1] = pack(count, n)
  end
  return pack('>I4I6', newest, used - taken) .. table.concat(parts), taken
end

local function without_debt(s, from, interval, rate, units, at, charged)
  local stamp, owed, step = unpack('>I6I7I6', s, from)
  if step ~= interval then return nil, 0 end
  local debt = owed - (now - stamp) % whole * rate
  -- Of what was charged then, that much may have flowed off: taking it back would be more than it was.
  local still = at and (charged or units) * interval - (now - at) * rate or units * interval
  local taken = math.min(units, math.floor(math.max(0, math.min(still, debt)) / interval))
  return pack('>I6I7I6', now % whole, math.max(0, debt) - taken * interval, interval), taken
end

-- The state without units of a rule: of those (`charged`, or as many) charged at a time, or, without a time, the newest
-- that still count; of a `concurrency` rule what a holder has. Returns nil where there is nothing to take back, and the
-- units taken back.
local function take_back(s, id, kind, unit, window, rate, units, at, holder, charged)
  local p, was, step, from, stop = find(s, id)
  if p and was == kind + 64 and step == unit then return take_back_places(s, p, from, stop, was, unit, window, rate, units, at) end
  if not p or was ~= kind or step ~= unit or stop == from then return nil, 0 end
  local payload, taken
  if kind == 1 then
    payload, taken = without_charges(s, from, stop, unit, window, units, at)
  elseif kind == 2 then
    payload, taken = without_debt(s, from, window, rate, units, at, charged)
  elseif kind == 4 then
    local entry = holder and lease_of(s, from, stop, holder)
    if not entry or signed(unpack('>I4', s, entry) - floor_ticks(now, unit)) <= 0 then return nil, 0 end
    taken = unpack('>I4', s, entry + 4)
    local stamp, used = unpack('>I4I6', s, from)
    payload = pack('>I4I6', stamp, used - taken) .. sub(s, from + 10, entry - 1) .. sub(s, entry + 16, stop - 1)
  elseif kind ~= 5 then
    payload, taken = without_counts(s, from, stop, kind, unit, window, units, at)
  end
  if not payload or taken == 0 then return nil, 0 end
  return replace(s, p, stop, kind, unit, payload), taken
end
