-- Takes what an instance's window holds, judges the fleet's, and moves the circuit; or only tells how it stands.
--
-- KEYS     as in parts/circuit_state.lua
-- ARGV     [1], [2] as there; [2] goes on: 1 where counts follow, 0 where he only asks (1), calls, failures and slow ones
--              in his window, without failures of his own side (6 each), 1 where his last results are failures, so many
--              as trip in a row, else 0 (1)
--          [3] the instance
--          [4] its last error, or nothing
-- Reply    as there
-- Invariant  it opens only where the fleet's window reaches a rate, from the minimum on, and `quorum` instances (never
--          more than a majority of those with calls) see it reached in their own; or where as many see too many failures
--          in a row; and not before there was time to hear all of them after the last change, or the first who speaks
--          would be a majority. Counts are totals, not differences, so one that comes twice or late counts once; those
--          of another epoch do not count, nor those of an instance that was silent for a window.
-- Cost     as there, and HGET, HSET; HGETALL once a window, and where a rate is reached

-- include parts/circuit_state.lua

local counts, his_calls, his_failures, his_slow, his_run = read('>BI6I6I6B', ARGV[2], rest)

local function vote(all, bad, dawdling) return reaches(bad, all, failure_rate) or reaches(dawdling, all, slow_rate) end

local function entry(text)
  local a, b, c, d, e, text_of_error = string.match(text or '', '^(%d+) (%d+) (%d+) (%d+) (%d+) ?(.*)$')
  if not a then return 0, 0, 0, 0, 0, '' end
  return tonumber(a), tonumber(b), tonumber(c), tonumber(d), tonumber(e), text_of_error
end

-- Sums up all instances anew and forgets who has long been silent; returns who votes, and some of their errors.
local function recount()
  local all, silent, by, errors = call('HGETALL', key), {}, {}, {}
  calls, failures, slow, voters, votes, runs = 0, 0, 0, 0, 0, 0
  for i = 1, #all, 2 do
    if sub(all[i], 1, 2) == 'i:' then
      local a, b, c, run, at, err = entry(all[i + 1])
      if at + window <= now or a == 0 then
        silent[#silent + 1] = all[i]
      else
        calls, failures, slow, voters = calls + a, failures + b, slow + c, voters + 1
        local against = vote(a, b, c)
        if against then votes = votes + 1 end
        runs = runs + run
        if (against or run > 0) and #by < 16 then by[#by + 1] = sub(all[i], 3) end
        if err ~= '' and #errors < 4 then errors[#errors + 1] = err end
      end
    end
  end
  for i = 1, #silent do call('HDEL', key, silent[i]) end
  sweep = now + window
  return by, errors
end

local function judge(least)
  if calls < least or now - since < 1000 * gather then return end
  local bad, dawdling = reaches(failures, calls, failure_rate), reaches(slow, calls, slow_rate)
  if not bad and not dawdling and runs == 0 then return end
  local by, errors = recount()
  bad, dawdling = reaches(failures, calls, failure_rate), reaches(slow, calls, slow_rate)
  local enough = (voters - voters % 2) / 2 + 1
  if quorum > 0 and quorum < enough then enough = quorum end
  if calls < least then return end
  local why
  if bad and votes >= enough then
    why = FAILURE_RATE
  elseif dawdling and votes >= enough then
    why = SLOW_RATE
  elseif runs >= enough then
    why = RUN
  end
  if why then
    open(why, trip_record(why, calls, failures, slow, voters, why == RUN and runs or votes, by, errors))
  end
end

local judged = state == CLOSED or state == HALF_OPEN and share > 0
if counts == 1 and judged and (reported == epoch or reported == 0 and state == CLOSED) then
  local field = 'i:' .. ARGV[3]
  local a, b, c, run = entry(exists and call('HGET', key, field))
  local function differ(new, old) return (new and 1 or 0) - (old and 1 or 0) end
  calls, failures, slow = max(calls + his_calls - a, 0), max(failures + his_failures - b, 0), max(slow + his_slow - c, 0)
  voters = max(voters + differ(his_calls > 0, a > 0), 0)
  votes = max(votes + differ(vote(his_calls, his_failures, his_slow), vote(a, b, c)), 0)
  runs = max(runs + his_run - run, 0)
  if his_calls > 0 or exists then
    put(field, format('%d %d %d %d %.0f %s', his_calls, his_failures, his_slow, his_run, now, sub(ARGV[4] or '', 1, 120)))
    local here, least = epoch, share > 0 and needed or minimum
    if now >= sweep then recount() end
    judge(least)
    if epoch == here and share > 0 and now - since >= 1000 * step and calls >= needed then climb() end
    if epoch == here then
      put('calls', calls, 'failures', failures, 'slow', slow, 'voters', voters, 'votes', votes, 'runs', runs, 'sweep',
          format('%.0f', sweep))
    end
  end
end

return answer()
