
-- For how long a penalty still blocks, twice: as retry after and as reset after.
local function blocked(s, from, stop, unit)
  if stop - from < 16 then return 0, 0 end
  local floor = floor_ticks(now, unit)
  local left = signed(unpack('>I4', s, from + 12) - floor)
  if left <= 0 then return 0, 0 end
  return (floor + left) * unit - now, (floor + left) * unit - now
end

-- Counts what the rules behind the penalties refused, and blocks who was refused too often.
local function punish(request, report, states, modes)
  for r = 1, #request / 38 - 1 do
    local k, kind, _, id, limit, window, unit, rate = unpack('>BBBI4I6I6I6I6', request, 38 * r - 37)
    local refused = report[4 * r + 6] > 0 and unpack('>I7', request, 38 * r + 32) > 0
    if kind == 5 and refused and report[4 * r + 2] == 0 then
      local s = states and states[k] or call('GET', KEYS[k]) or ''
      local p, _, step, from, stop = find(s, id)
      local tick, count, since = ceil_ticks(now, unit), 0, nil
      if p and step == unit and stop - from == 16 then count, since = unpack('>I4I4', s, from + 4) end
      if not since or count == 0 or (tick - since) % lap * unit >= rate then count, since = 0, tick % lap end
      local over = tick
      count = count + 1
      if count >= limit then
        count, over = 0, tick + ceil_ticks(window, unit)
        report[4 * r + 2], report[4 * r + 3] = over * unit - now, over * unit - now
      end
      local payload = pack('>I4I4I4I4', tick % lap, count, since, over % lap)
      s = p and replace(s, p, stop, 5, unit, payload) or append(s, id, 5, unit, payload)
      local life = math.max(window, rate) * 1.25 + 500000
      local left = (unpack('>I6', s) - now) % whole
      local lives = left >= life and left < whole / 2
      s = (lives and sub(s, 1, 6) or pack('>I6', (now + life - life % 1) % whole)) .. pack('>I6', now % whole) .. sub(s, 13)
      local ttl = not lives and format('%d', life / 1000 + 501)
      if states and states[k] then
        states[k], modes[k] = s, ttl or modes[k]
      elseif ttl then
        call('PSETEX', KEYS[k], ttl, s)
      else
        call('SET', KEYS[k], s, 'KEEPTTL')
      end
    end
  end
end
