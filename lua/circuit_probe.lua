-- Lends the probes of a half-open circuit, takes their results, and judges by them.
--
-- KEYS     as in parts/circuit_state.lua
-- ARGV     [1], [2] as there; [2] goes on: 1 asks for a lease, 2 brings a result, 3 gives a lease back (1), the lease (6),
--              the result: 1 failed, plus 2 slow (1)
--          [3] the instance
-- Reply    as there, then the lease (0: none), and for how long it is good in microseconds
-- Invariant  results and leases under way together are never more than the probes of the settings; each lease has one
--          result at most, within its time and in its epoch. What is not heard of in time is free for another.
-- Cost     as there, and HSET

-- include parts/circuit_state.lua

local what, lease, result = read('>BI6B', ARGV[2], rest)
local lent, good_for = 0, 0

if state == HALF_OPEN and share == 0 and (what == 1 or reported == epoch) then
  local kept, count, found = {}, 0, false
  for id, deadline, owner in string.gmatch(leases, '(%d+) (%d+) ([^;]*);') do
    deadline = math.min(tonumber(deadline), now + 1000 * probe_for)
    if deadline > now then
      if tonumber(id) == lease and what > 1 then
        found = true
      else
        count = count + 1
        kept[count] = format('%s %.0f %s;', id, deadline, owner)
      end
    end
  end
  local here = epoch
  if what == 1 and done + count < probes then
    granted = granted + 1
    lent, good_for = granted, 1000 * probe_for
    kept[count + 1] = format('%.0f %.0f %s;', lent, now + good_for, ARGV[3])
  elseif what == 2 and found then
    done = done + 1
    if result % 2 == 1 then failed = failed + 1 end
    if result >= 2 then late = late + 1 end
    if done >= needed then judge_probes() end
  end
  if epoch == here and (lent > 0 or found) then
    put('granted', granted, 'done', done, 'failed', failed, 'late', late, 'leases', table.concat(kept))
  end
end

return answer(lent, good_for)
