-- Takes a place in time for a request that has no room now: charges it at the first moment from now on at which all its
-- rules have room, behind whoever waits already. Whoever asks waits until then. lua/rate_refund.lua, with that moment as
-- receipt, gives the place up.
--
-- KEYS     one a distinct (user, endpoint); with an order the key of the record last
-- ARGV     [1]  the request, as in rate_check.lua; neither `concurrency` nor forced rules
--          [2]  the order `once` of rate_check.lua, or empty: where there is a record already, its place is the answer, and
--               is held by one more; otherwise the place is recorded
--          [3]  how long to wait at most, in microseconds, decimal; never longer than a window
--          [4]  how long to wait at least: until the places of other nodes come
-- Reply    how long to wait, or 0; then 1 (placed), 2 (placed before) or 0, the moment, and for each rule remaining, retry
--          after, reset after, as in rate_check.lua
-- State    as in rate_check.lua, with places (parts/rate_places.lua)
-- Invariant  as in rate_check.lua, for the moments at which the places are; who comes later waits for them.
-- Clock    that of the server; a clock that steps back charges places at once.
-- Cost     TIME; a GET and a PSETEX a key; for a record a GET and a PSETEX, or a SETRANGE

local call, unpack, pack, sub, rep = redis.call, struct.unpack, struct.pack, string.sub, string.rep
local format = string.format
local lap, whole = 4294967296, 281474976710656
local time = call('TIME')
local now = time[1] * 1000000 + time[2]
-- include parts/rate_sections.lua
-- include parts/rate_places.lua
-- include parts/rate_penalties.lua

local keys, what, holder = #KEYS, 0, nil
if ARGV[2] ~= '' then keys, what, holder = keys - 1, 1, sub(ARGV[2], 8) end
-- include parts/rate_records.lua

local most_places = 1000
local request, longest = ARGV[1], tonumber(ARGV[3])
local states, lives, changed = {}, {}, {}

local function state_of(k)
  if states[k] then return states[k] end
  local s = call('GET', KEYS[k]) or ''
  lives[k] = 0
  if s ~= '' then
    local until_when, written = unpack('>I6I6', s)
    local left = (until_when - now) % whole
    if left < whole / 2 then lives[k] = left end
    if (now - written) % whole >= whole / 2 then s = renew(s) end
  end
  states[k] = s
  return s
end

-- The payload and the places of a rule, as this rule keeps them.
local function section_of(k, kind, id, unit, limit, window, rate)
  local s = state_of(k)
  local p, was, step, from, stop = find(s, id)
  if not p then return '', '' end
  local idle = (now - unpack('>I6', s, 7)) % whole
  if unpack('>I3', s, p + 5) > 0 and kind ~= 2 and was ~= 2 and idle > 2 * window and idle > 2 * rate then return '', '' end
  local payload, places = sub(s, from, stop - 1), ''
  if was > 63 then
    payload, places = charge_due(s, from, stop, was, step, was - 64 ~= kind or step ~= unit, window, rate)
    was = was - 64
  end
  if was == kind and step == unit then return payload, places end
  return convert(payload, 1, #payload + 1, was, step, kind, unit, limit, window), ''
end

if what > 0 then
  local _, known = begin()
  if known and known.err then return known end
  if known then
    local wait = 0
    for i = 4, #known, 3 do wait = math.max(wait, known[i]) end
    if wait > longest then return {0, _G.unpack(known)} end
    if wait > 0 then join() end
    known[1] = 2
    for i = 4, #known, 3 do known[i] = 0 end
    return {wait, _G.unpack(known)}
  end
end

-- When each rule has room, and when all have.
local earliest = tonumber(ARGV[4])
local rules, moment, placed = {}, now + earliest, true
for r = 1, #request / 38 do
  local k, kind, flags, id, limit, window, unit, rate, cost = unpack('>BBBI4I6I6I6I6I7', request, 38 * r - 37)
  local payload, places = section_of(k, kind, id, unit, limit, window, rate)
  local one = {k = k, kind = kind, id = id, limit = limit, window = window, unit = unit, rate = rate, cost = cost,
    payload = payload, places = places, at = now, used = 0, reset = 0, shadow = flags % 2 == 1}
  local need = cost > 0 and cost or 1
  if kind == 5 then
    one.at = now + blocked(payload, 1, #payload + 1, unit)
    if one.at > now and not one.shadow then placed = false end
  elseif need > limit then
    one.at = nil
    placed = placed and one.shadow
  else
    local last
    one.at, one.used, last = first_room(payload, kind, unit, window, rate, limit, need, places)
    one.reset = last - now
    if places ~= '' and unpack('>I2', places) >= most_places then placed = placed and one.shadow end
  end
  if kind ~= 5 and not one.shadow then
    moment = math.max(moment, one.at or now)
    longest = math.min(longest, kind == 2 and limit * window / rate or window)
  end
  rules[r] = one
end
placed = placed and moment - now <= longest

local function keep(one, payload, places)
  local s = states[one.k]
  local p, _, _, _, stop = find(s, one.id)
  local kind = one.kind
  if places ~= '' then kind, payload = kind + 64, places .. payload end
  states[one.k] = p and replace(s, p, stop, kind, one.unit, payload) or append(s, one.id, kind, one.unit, payload)
  local lasting = moment - now + math.ceil(one.kind == 2 and one.limit * one.window / one.rate or one.window)
  lives[one.k] = math.max(lives[one.k], lasting + (lasting - lasting % 4) / 4 + 500000)
  changed[one.k] = true
end

local reply, late, barred = {placed and 1 or 0, placed and moment or now}, {}, false
for r = 1, #rules do
  local one = rules[r]
  local retry = not one.at and -1 or one.at - now
  late[r] = retry > 0 and one.kind ~= 5 and not one.shadow
  if placed then
    retry = one.shadow and (not one.at or one.at > moment) and retry or 0
    local charges = retry == 0 and one.cost > 0 and not barred
    if charges and moment > now then
      keep(one, one.payload, more_places(one.places, moment, one.cost))
    elseif charges then
      keep(one, charged(one.payload, one.kind, one.unit, now, one.cost, one.window, one.rate), one.places)
    end
    if charges then one.used = one.used + one.cost end
  elseif retry >= 0 and not one.shadow then
    retry = math.max(retry, earliest)
  end
  barred = one.kind == 5 and retry ~= 0
  reply[#reply + 1] = math.max(0, one.limit - one.used)
  reply[#reply + 1] = retry
  reply[#reply + 1] = one.reset
end
for k in pairs(changed) do
  local s = pack('>I6I6', (now + lives[k]) % whole, now % whole) .. sub(states[k], 13)
  call('PSETEX', KEYS[k], format('%d', lives[k] / 1000 + 501), s)
end
if what > 0 then finish(reply, moment, late) end
table.insert(reply, 1, placed and moment - now or 0)
return reply
