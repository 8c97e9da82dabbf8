
-- The record of a request: what was decided and charged, whether it is settled, and by how many it is held.
local record, steps, final

-- One more passes, or waits, by the record: it is no longer one asker's to forget.
local function join()
  local held = unpack('B', record)
  if held ~= 1 and held < 255 then call('SETRANGE', KEYS[keys + 1], '0', pack('B', math.max(held, 1) + 1)) end
end

-- How long the record is kept: from when its request is admitted.
local function life()
  local early = math.max(0, unpack('>I7', record, 2) - now)
  return format('%d', unpack('>I6', ARGV[2], 2) + math.ceil(early / 1000))
end

local function recorded_units(n)
  local units = {}
  for i = 1, n do units[i] = 0 end
  for at = steps, #record, 7 + 7 * n do
    for i = 1, n do units[i] = units[i] + unpack('>I7', record, at + 7 * i) end
  end
  return units
end

-- The rules of the request whose cost is above 0, those of `costs`, where given, instead of their own.
local function rules_to_ask(request, costs, flags)
  local parts = {}
  for i = 1, #request / 38 do
    local cost = costs and costs[i] or unpack('>I7', request, 38 * i - 6)
    if cost > 0 then
      local rule = sub(request, 38 * i - 37, 38 * i)
      parts[#parts + 1] = sub(rule, 1, 2) .. (flags or sub(rule, 3, 3)) .. sub(rule, 4, 31) .. pack('>I7', cost)
    end
  end
  return table.concat(parts)
end

-- Takes back of a rule what was recorded but not used, the newest first.
local function take_back_recorded(request, i, n, units)
  local k, kind, _, id, _, window, unit, rate = unpack('>BBBI4I6I6I6I6', request, 38 * i - 37)
  local taken = 0
  for at = #record - 6 - 7 * n, steps, -7 - 7 * n do
    local when, charged = unpack('>I7', record, at), unpack('>I7', record, at + 7 * i)
    local wanted = math.min(units - taken, charged)
    -- Times of sections have a modulus: what was charged long ago must not be mistaken for what was just now.
    if wanted > 0 and (kind == 2 or kind == 4 or now - when <= 2 * window) then
      local s, less = take_back(call('GET', KEYS[k]) or '', id, kind, unit, window, rate, wanted, when, holder, charged)
      if s then call('SET', KEYS[k], s, 'KEEPTTL') end
      taken = taken + math.min(less, wanted)
    end
  end
  return taken
end

local function write(held, tail)
  record = pack('B', held) .. sub(record, 2, steps - 1) .. tail
  call('PSETEX', KEYS[keys + 1], life(), record)
end

local function settle(request, n, at)
  local units, over, reply, tail = recorded_units(n), {}, {1, at}, {}
  for i = 1, n do
    local kind, used = unpack('>B', request, 38 * i - 36), unpack('>I7', request, 38 * i - 6)
    local taken = 0
    if kind == 4 then
      taken = take_back_recorded(request, i, n, units[i])
    elseif used < units[i] then
      taken = take_back_recorded(request, i, n, units[i] - used)
    elseif used < 2 ^ 56 - 1 then
      over[i] = used - units[i]
    end
    over[i] = over[i] or 0
    reply[#reply + 1], reply[#reply + 2] = units[i], taken
    tail[#tail + 1] = pack('>I7I7', units[i], taken)
  end
  write(1, table.concat(tail))
  local ask = rules_to_ask(request, over, '\2')
  if ask == '' then return nil, reply end
  final = reply
  return ask
end

-- Before the decision: what is to be asked, where that is not the request as it is; or the reply.
local function begin()
  local request = ARGV[1]
  local n = #request / 38
  record = call('GET', KEYS[keys + 1])
  if not record then
    if what > 1 then return nil, {-1} end
    return
  end
  local settled, at, rules = unpack('>BI7B', record)
  steps = 10 + 52 * rules
  local before = 10 + 14 * n
  local same = rules == n
  for i = 1, same and n or 0 do
    local here = 38 * i - 37
    same = same and sub(request, here + 3, here + 6) == sub(record, before + here + 2, before + here + 5)
      and (what > 1 or sub(request, 38 * i - 6, 38 * i) == sub(record, before + 38 * i - 7, before + 38 * i - 1))
  end
  if not same then return nil, redis.error_reply('IDREUSED the request id stands for another request') end
  if what == 1 or what == 3 and settled == 1 then
    local reply, first = {1, at}, what == 1 and 10 or steps
    for i = 0, n - 1 do
      local one, other = unpack('>I7I7', record, first + 14 * i)
      if what == 1 then
        local retry = 0
        if one >= whole and at > now then
          -- Its place has not come; nobody has one that is further away than a window, but for a clock that stepped back.
          local kind, _, _, limit, window, _, rate = unpack('>BBI4I6I6I6I6', request, 38 * i + 2)
          if at - now <= (kind == 2 and limit * window / rate or window) then reply[1], retry = 0, at - now end
        end
        reply[3 * i + 3], reply[3 * i + 4], reply[3 * i + 5] = one % whole, retry, other
      else
        reply[2 * i + 3], reply[2 * i + 4] = one, other
      end
    end
    if what == 1 and reply[1] == 1 then join() end
    return nil, reply
  end
  if what == 3 then return settle(request, n, at) end
  if settled == 1 then return nil, {-2} end
  return rules_to_ask(request)
end

-- After it: keeps the record; of a place when it comes, and what rules are waited for.
local function finish(reply, at, late)
  if what == 3 then return final end
  at = at or now
  local request = ARGV[1]
  local n = #request / 38
  if reply[1] == 0 then
    if what == 2 then call('PEXPIRE', KEYS[keys + 1], life()) end
    return reply
  end
  local step, horizon, asked, barred = {pack('>I7', at)}, 0, 0, false
  for i = 1, n do
    local kind, cost = unpack('>B', request, 38 * i - 36), unpack('>I7', request, 38 * i - 6)
    if what == 1 or cost > 0 then asked = asked + 1 end
    -- Not charged: what has no room or is blocked, and is on trial; and a new lease for the one that was there.
    local free = reply[3 * asked + 1] == 0
    local charged = cost > 0 and free and not barred and not (what == 2 and kind == 4)
    barred = kind == 5 and not free
    step[i + 1] = pack('>I7', charged and cost or 0)
    local limit, window, _, rate = unpack('>I6I6I6I6', request, 38 * i - 30)
    horizon = math.max(horizon, kind == 2 and limit * window / rate or window)
  end
  if what == 1 then
    steps = 10 + 52 * n
    local parts = {pack('>BI7B', 0, at, n)}
    for i = 0, n - 1 do
      parts[i + 2] = pack('>I7I7', reply[3 * i + 3] + (late and late[i + 1] and whole or 0), reply[3 * i + 5])
    end
    record = table.concat(parts) .. request
  end
  -- Of what was charged longer ago than two windows nothing can be taken back: one step stands for all of it, so that it
  -- still counts as reserved, and a lease is still known to be held.
  local first, old = steps, nil
  while first < #record and now - unpack('>I7', record, first) > 2 * horizon do
    old = old or {}
    old[1] = sub(record, first, first + 6)
    for i = 1, n do old[i + 1] = (old[i + 1] or 0) + unpack('>I7', record, first + 7 * i) end
    first = first + 7 + 7 * n
  end
  for i = 2, old and n + 1 or 0 do old[i] = pack('>I7', old[i]) end
  write(unpack('B', record), (old and table.concat(old) or '') .. sub(record, first) .. table.concat(step))
  return reply
end
