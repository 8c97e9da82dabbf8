-- Takes charges back that were made together, because another rule of the same request refused elsewhere.
--
-- KEYS     as of the call of rate_check.lua that charged
-- ARGV     [1]  the time of that call, in microseconds, decimal: its receipt
--          [2]  its rules, as in rate_check.lua; cost: the units to take back
-- Reply    the units taken back, of all rules, an integer
-- State    as in rate_check.lua
-- Invariant  nothing is taken back but what was charged at that time (in counters: in its slot) and still counts. A
--          receipt is to be used once. The time to live of the key stays as it is.
-- Cost     a GET and a SET a rule that has something to take back

local call, unpack, pack, sub = redis.call, struct.unpack, struct.pack, string.sub
local lap = 4294967296
local time = tonumber(ARGV[1])
local taken = 0

for r = 0, #ARGV[2] / 30 - 1 do
  local k, kind, id, _, _, unit, cost = unpack('>BBI4I6I6I5I7', ARGV[2], 30 * r + 1)
  local s = call('GET', KEYS[k]) or ''
  local p, from, stop = 13, 25, 0
  while p < #s do
    local i, a, n, u = unpack('>I4BI2I5', s, p)
    from, stop = p + 12, n > 0 and p + 12 + n or #s + 1
    if i == id and a == kind and u == unit then break end
    p, from, stop = stop, stop, stop
  end

  local payload
  if stop > from and kind == 1 then
    local entry = pack('>I4', (time + (unit - time % unit) % unit) / unit % lap)
    local first, last = nil, 0
    for at = from, stop - 4, 4 do
      if sub(s, at, at + 3) == entry then
        first = first or at
        last = last + 1
      end
    end
    last = math.min(last, cost)
    if last > 0 then
      payload = sub(s, from, first - 1) .. sub(s, first + 4 * last, stop - 1)
      taken = taken + last
    end
  elseif stop > from then
    local width = kind - 32
    local count = width == 2 and '>I2' or width == 4 and '>I4' or '>I6'
    local newest, used = unpack('>I4I6', s, from)
    local at = from + 10 + width * ((newest - (time - time % unit) / unit) % lap)
    if at < stop then
      local units = unpack(count, s, at)
      local less = math.min(units, cost)
      payload = pack('>I4I6', newest, used - less) .. sub(s, from + 10, at - 1) .. pack(count, units - less) ..
                sub(s, at + width, stop - 1)
      taken = taken + less
    end
  end
  if payload then
    -- An only section says no size; others say theirs.
    local size = unpack('>I2', s, p + 5)
    call('SET', KEYS[k], sub(s, 1, p + 4) .. pack('>I2', size > 0 and #payload or 0) .. sub(s, p + 7, p + 11) .. payload ..
         sub(s, stop), 'KEEPTTL')
  end
end
return taken
