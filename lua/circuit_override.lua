-- Sets a circuit by hand, over the whole fleet, or gives it back to itself.
--
-- KEYS     as in parts/circuit_state.lua
-- ARGV     [1], [2] as there; [2] goes on: the state (1), 6: back to itself; milliseconds until it is given back, 0: without
--              end (6), of forced_open, disabled and metrics_only
--          [3] who did it
--          [4] why
-- Reply    as there, then 1: done, 0: illegal (half open after closed), 2: it was so already
-- Invariant  each change is in the history, with who and why. Back to itself, and at its end, what was forced open is half
--          open first, all else is closed.
-- Cost     as there

-- include parts/circuit_state.lua

local to, lasts = read('>BI6', ARGV[2], rest)
local who, note = sub(ARGV[3], 1, 200), sub(ARGV[4], 1, 500)

if to == 6 then
  if state < FORCED_OPEN then return answer(2) end
  to = state == FORCED_OPEN and HALF_OPEN or CLOSED
elseif to == HALF_OPEN and state == CLOSED then
  return answer(0)
elseif to == state and to < FORCED_OPEN then
  return answer(2)
end
local over = 0
if to >= FORCED_OPEN then
  if lasts > 0 then over = now + 1000 * lasts end
elseif to == HALF_OPEN then
  over = now + 1000 * half_open_for
elseif to == OPEN then
  over = now + 1000 * open_for
  openings = max(openings, 1)
else
  openings = 0
end
move(to, BY_HAND, over, 0, nil, who, note)
return answer(1)
