
-- Places taken ahead: a rule for which somebody waits has 64 + its algorithm in its section, and before the payload how
-- many places there are (2), and of each its time (6, microseconds modulo 2^48) and units (6), the first to come first.
-- When its time has come, a place is a charge of that time.

local function place_time(s, at) return now + (unpack('>I6', s, at) - now + whole / 2) % whole - whole / 2 end

-- What a token bucket owes at a time that is not before its payload's; what it owed for another interval, as of that.
local function owed_at(payload, at, interval, rate)
  if payload == '' then return 0 end
  local stamp, owed, step = unpack('>I6I7I6', payload)
  if step ~= interval then owed = math.ceil(owed / step) * interval end
  return math.max(0, owed - (at - stamp) % whole * rate)
end

-- The payload with units charged at a time that is not before those in it. Where the interval and rate of a token bucket
-- are not known, nothing flows off until then.
local function charged(payload, kind, unit, at, units, interval, rate)
  if kind == 2 then
    interval = interval or unpack('>I6', payload, 14)
    return pack('>I6I7I6', at % whole, owed_at(payload, at, interval, rate or 0) + units * interval, interval)
  end
  if kind == 1 then return payload .. rep(pack('>I4', ceil_ticks(at, unit) % lap), units) end
  local width, count = count_of(kind)
  local slot, used, current, older = floor_ticks(at, unit) % lap, 0, 0, ''
  if payload ~= '' then
    local newest
    newest, used, current = unpack('>I4I6' .. sub(count, 2), payload)
    local distance = (slot - newest) % lap
    -- A window has 40 slots, a fixed one none before the newest; what is older is over.
    local most = kind == 3 and 0 or 40
    older = distance == 0 and sub(payload, 11 + width)
      or distance <= most and rep('\0', width * (distance - 1)) .. sub(payload, 11) or ''
    for i = 1 + width * most, #older, width do used = used - unpack(count, older, i) end
    older = sub(older, 1, width * most)
    if distance > most then used = 0 end
    if distance > 0 then current = 0 end
  end
  return pack('>I4I6', slot, used + units) .. pack(count, current + units) .. older
end

-- The payload of a section with its places charged whose time has come, or all, as of now; and the other places.
function charge_due(s, from, stop, kind, unit, all, interval, rate)
  local n, first = unpack('>I2', s, from), from + 2
  local payload = sub(s, first + 12 * n, stop - 1)
  while n > 0 do
    local at = place_time(s, first)
    if at > now and not all then break end
    payload = charged(payload, kind - 64, unit, math.min(at, now), (unpack('>I6', s, first + 6)), interval, rate)
    first, n = first + 12, n - 1
  end
  return payload, n > 0 and pack('>I2', n) .. sub(s, first, first + 12 * n - 1) or ''
end

-- The state without units of a section that has places: those of the place at a time; or charged at that time; or without
-- one the newest that count, places first.
function take_back_places(s, p, from, stop, kind, unit, window, rate, units, at)
  local payload, places = charge_due(s, from, stop, kind, unit, false, window, rate)
  local kept, left, taken = '', units, 0
  kind = kind - 64
  for i = #places - 11, 3, -12 do
    local here = unpack('>I6', places, i + 6)
    local less = (not at or place_time(places, i) == at) and math.min(left, here) or 0
    left = left - less
    if here > less then kept = sub(places, i, i + 5) .. pack('>I6', here - less) .. kept end
  end
  if left > 0 and payload ~= '' then
    if kind == 1 then
      payload, taken = without_charges(payload, 1, #payload + 1, unit, window, left, at)
    elseif kind == 2 then
      local changed
      changed, taken = without_debt(payload, 1, window, rate, left, at)
      payload = changed or payload
    else
      payload, taken = without_counts(payload, 1, #payload + 1, kind, unit, window, left, at)
    end
    left = left - taken
  end
  if left == units then return nil, 0 end
  if kept ~= '' then kind, payload = kind + 64, pack('>I2', #kept / 12) .. kept .. payload end
  return replace(s, p, stop, kind, unit, payload), units - left
end

local function more_places(places, at, units)
  if places == '' then return pack('>I2I6I6', 1, at % whole, units) end
  return pack('>I2', unpack('>I2', places) + 1) .. sub(places, 3) .. pack('>I6I6', at % whole, units)
end

-- When so many units have room behind all that is charged, and behind who waits; the units that count, and when the last
-- of them ends.
local function first_room(payload, kind, unit, window, rate, limit, need, places)
  if kind == 2 then
    local at = now
    for i = 3, #places, 12 do
      at = place_time(places, i)
      payload = charged(payload, 2, unit, at, (unpack('>I6', places, i + 6)), window, rate)
    end
    local owed = owed_at(payload, at, window, rate)
    at = at + math.max(0, math.ceil((owed + (need - limit) * window) / rate))
    return at, math.ceil(owed / window), at + math.ceil(owed_at(payload, at, window, rate) / rate)
  end
  local span = kind == 3 and 0 or ceil_ticks(window, unit)
  local ends, units, used, at = {}, {}, 0, now
  local function add(ending, n)
    if ending > now and n > 0 then ends[#ends + 1], units[#units + 1], used = ending, n, used + n end
  end
  if kind == 1 then
    local tick = ceil_ticks(now, unit)
    for i = 1, #payload - 3, 4 do add((tick - (tick - unpack('>I4', payload, i)) % lap + span) * unit, 1) end
  elseif payload ~= '' then
    local width, count = count_of(kind)
    local slot = floor_ticks(now, unit)
    local newest = slot - (slot - unpack('>I4', payload)) % lap
    for j = (#payload - 10) / width - 1, 0, -1 do
      add((newest - j + span + 1) * unit, unpack(count, payload, 11 + width * j))
    end
  end
  for i = 3, #places, 12 do
    at = math.max(now, place_time(places, i))
    local ending = kind == 1 and ceil_ticks(at, unit) + span or floor_ticks(at, unit) + span + 1
    add(ending * unit, unpack('>I6', places, i + 6))
  end
  local room, i = used + need - limit, 0
  while room > 0 do
    i = i + 1
    at, room = math.max(at, ends[i]), room - units[i]
  end
  return at, used, ends[#ends] or now
end
