
-- What a `concurrency` rule says: units held, retry after, reset after; and, where it admits, its new payload. The same
-- holder gets a new lease for the one he has.
local function lease(s, from, stop, limit, window, unit, cost)
  local floor, tick = floor_ticks(now, unit), ceil_ticks(now, unit)
  local used, first, leases, reset = 0, stop, '', 0
  local function ends(at) return floor + signed(unpack('>I4', s, at) - floor) end
  if stop > from then
    used, first = unpack('>I6', s, from + 4), from + 10
    while first < stop and ends(first) <= floor do
      used, first = used - unpack('>I4', s, first + 4), first + 16
    end
    if first < stop then reset = ends(stop - 16) * unit - now end
    local own = cost > 0 and holder and lease_of(s, first - 10, stop, holder)
    if own then
      used = used - unpack('>I4', s, own + 4)
      s = sub(s, 1, own - 1) .. sub(s, own + 16)
      stop = stop - 16
    end
    leases = sub(s, first, stop - 1)
  end
  local need = cost > 0 and cost or 1
  if need > limit then return used, 0, reset end
  if used + need > limit then
    local room, at = used + need - limit, first - 16
    while room > 0 do
      at = at + 16
      room = room - unpack('>I4', s, at + 4)
    end
    return used, ends(at) * unit - now, reset
  end
  if cost == 0 or not holder then return used, 0, reset end
  -- The first to end comes first, also where leases have become shorter.
  local ending = tick + ceil_ticks(window, unit)
  if leases ~= '' then ending = math.max(ending, ends(stop - 16)) end
  return used, 0, reset, pack('>I4I6', tick % lap, used + cost) .. leases .. pack('>I4I4', ending % lap, cost) .. holder
end
