-- What the scripts of a circuit share: how its state is read, changed and told.
--
-- KEYS     [1] circuit:<service>, a hash; also the channel on which its changes are published
--          [2] stream:circuit:<service>, its history
-- ARGV     [1] the settings, big-endian: window (6, us), minimum of results (4), failure rate and slow rate (4 each,
--              millionths), quorum (4; 0: a majority), probes (2), results that judge them (2), half open at most (5, ms),
--              a probe at most (5, ms), open (5, ms), its growth (4, thousandths), at most (5, ms), jitter (2, ten
--              thousandths), healthy for (5, ms), step of the ramp (5, ms), how long counts are gathered before they are judged (4, ms),
--              then the ramp's shares in percent (1 each)
--          [2] begins with: the epoch that the caller knows (7; 0: none), the state he takes it to be in (1), a number
--              at random from 0 to 9999 (2)
-- Reply    integers: state, epoch, microseconds until the state ends by itself (-1: it does not), share of the traffic in
--          percent (of a half-open circuit on its ramp, else 0), reason, the time in microseconds; then what the
--          script adds
-- State    state by name; epoch; since, until (us; until 0: without end); reason; share; openings in a row; sums of what
--          the instances' windows hold: calls, failures, slow, voters (instances with calls), votes (those that see a
--          rate reached), runs (those that see too many failures in a row), and sweep (us), when they are next summed up
--          anew; i:<instance>: calls, failures, slow, run, when (us), last error; of the half-open state: done, failed,
--          late, granted, leases ("<id> <deadline in us> <owner>;" each); tripped (JSON): why it last opened; who, note:
--          of a state set by hand; dies (us): when the key expires
-- Invariant  the epoch grows with each change, over the loss of the key and a clock that steps back, too: it is at least
--          the time, the last one plus 1, and what the caller knows. One change, one message: "1 <epoch> <epoch before>
--          <state> <remaining> <share> <reason> <time>". A missing key, or one that cannot be read, means closed.
--          Counts and leases never outlive their epoch. The key lives five minutes at least, and longer than the window
--          and what the state still lasts; a state set by hand without end, for ever.
-- Cost     TIME, HMGET; a change: HGET, DEL, HSET, PEXPIRE, PUBLISH, XADD, PEXPIRE

local call, format, read, sub, max = redis.call, string.format, struct.unpack, string.sub, math.max
local time = call('TIME')
local now = time[1] * 1000000 + time[2]
local key, history = KEYS[1], KEYS[2]
local window, minimum, failure_rate, slow_rate, quorum, probes, needed, half_open_for, probe_for, open_for, growth,
      open_max, jitter, healthy_for, step, gather, ramp = read('>I6I4I4I4I4I2I2I5I5I5I4I5I2I5I5I4', ARGV[1])
local reported, believed, random, rest = read('>I7BI2', ARGV[2])

local CLOSED, OPEN, HALF_OPEN, FORCED_OPEN = 0, 1, 2, 3
local FAILURE_RATE, SLOW_RATE, RUN, WAIT_OVER, PROBES_FAILED, PROBES_SLOW, PROBES_PASSED, NO_RESULTS, BY_HAND,
      OVERRIDE_OVER, STATE_LOST = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
local names = {[0] = 'closed', 'open', 'half_open', 'forced_open', 'disabled', 'metrics_only'}
local reasons = {[0] = 'none', 'failure_rate', 'slow_rate', 'consecutive_failures', 'wait_over', 'probes_failed',
                 'probes_slow', 'probes_passed', 'no_results', 'by_hand', 'override_over', 'state_lost'}

local f = redis.pcall('HMGET', key, 'state', 'epoch', 'since', 'until', 'reason', 'share', 'openings', 'dies', 'calls',
                      'failures', 'slow', 'voters', 'votes', 'runs', 'sweep', 'done', 'failed', 'late', 'granted',
                      'leases')
if f.err then
  -- The key is not ours: closed, and left alone.
  return {CLOSED, believed == CLOSED and reported or reported + 1, -1, 0, 0, now, 0, 0}
end
local state
for code = 0, 5 do
  if f[1] == names[code] then state = code end
end
local epoch = tonumber(f[2] or '')
local exists = state and epoch and true or false
if not exists then f, state, epoch = {}, CLOSED, reported end
local function number(i, default) return tonumber(f[i] or '') or default end
local since, ends, reason, share = number(3, now), number(4, 0), number(5, 0), number(6, 0)
local openings, dies = number(7, 0), number(8, 0)
local calls, failures, slow, voters = number(9, 0), number(10, 0), number(11, 0), number(12, 0)
local votes, runs, sweep = number(13, 0), number(14, 0), number(15, 0)
local done, failed, late, granted, leases = number(16, 0), number(17, 0), number(18, 0), number(19, 0), f[20] or ''
local function answer(...)
  return {state, epoch, ends > 0 and max(ends - now, 0) or -1, share, reason, now, ...}
end

local function reaches(part, whole, rate) return part > 0 and part * 1000000 >= rate * whole end

local function life()
  return max(300000000, 2 * window, 2000 * healthy_for, ends > 0 and ends - now + window + 60000000 or 0)
end

-- Writes fields of the circuit as it stands.
local function put(...)
  if not exists then
    call('DEL', key)
    if epoch == 0 then epoch = now end
    exists = true
    call('HSET', key, 'state', names[state], 'epoch', format('%.0f', epoch), 'since', format('%.0f', since), 'until',
         format('%.0f', ends), 'reason', reason, 'share', share, 'openings', openings)
  end
  local lasts = life()
  if state >= FORCED_OPEN and ends == 0 then
    call('HSET', key, ...)
  elseif dies - now < lasts / 2 then
    dies = now + lasts
    call('HSET', key, 'dies', format('%.0f', dies), ...)
    call('PEXPIRE', key, format('%.0f', (lasts - lasts % 1000) / 1000))
  else
    call('HSET', key, ...)
  end
end

-- `over`: when the new state ends by itself, 0: it does not; `tripped`: why, where that is to be kept.
local function move(to, why, over, percent, tripped, who, note)
  local from, before = state, epoch
  tripped = tripped or call('HGET', key, 'tripped') or ''
  call('DEL', key)
  epoch = max(now, epoch + 1)
  state, reason, since, ends, share, dies, exists = to, why, now, over, percent, 0, false
  calls, failures, slow, voters, votes, runs, sweep = 0, 0, 0, 0, 0, 0, 0
  done, failed, late, granted, leases = 0, 0, 0, 0, ''
  put('tripped', tripped, 'who', who or '', 'note', note or '')
  call('PUBLISH', key, format('1 %.0f %.0f %d %.0f %d %d %.0f', epoch, before, state, ends > 0 and ends - now or -1,
                              share, reason, now))
  if from ~= to or why == BY_HAND then
    call('XADD', history, 'MAXLEN', '~', '1000', '*', 'from', names[from], 'to', names[to], 'reason', reasons[why],
         'epoch', format('%.0f', epoch), 'until', format('%.0f', ends), 'who', who or '', 'note', note or '')
    call('PEXPIRE', history, '604800000')
  end
end

-- Opens, for as long as the number of openings in a row says.
local function open(why, tripped)
  if state == CLOSED and now - since >= 1000 * healthy_for then openings = 0 end
  if why ~= NO_RESULTS or openings == 0 then openings = openings + 1 end
  local wait = open_for
  for _ = 2, openings do
    if wait >= open_max or growth <= 1000 then break end
    local grown = wait * growth
    grown = (grown - grown % 1000) / 1000
    wait = grown > wait and grown or wait + 1
  end
  if wait > open_max then wait = open_max end
  local more = jitter * random
  more = wait * ((more - more % 10000) / 10000)
  move(OPEN, why, now + 1000 * (wait + (more - more % 10000) / 10000), 0, tripped)
end

local function half_open(why, percent) move(HALF_OPEN, why, now + 1000 * half_open_for, percent) end

-- On good results: to the next share of the ramp, or to closed.
local function climb()
  for i = ramp, #ARGV[1] do
    local percent = string.byte(ARGV[1], i)
    if percent > share then return half_open(PROBES_PASSED, percent) end
  end
  move(CLOSED, PROBES_PASSED, 0, 0)
end

local function trip_record(why, all, bad, dawdling, many, against, who, errors)
  return cjson.encode({at = format('%.0f', now), reason = reasons[why], calls = all, failures = bad, slow = dawdling,
                       voters = many, votes = against, by = who, errors = errors})
end

local function judge_probes()
  if reaches(failed, done, failure_rate) then
    open(PROBES_FAILED, trip_record(PROBES_FAILED, done, failed, late, 0, 0))
  elseif reaches(late, done, slow_rate) then
    open(PROBES_SLOW, trip_record(PROBES_SLOW, done, failed, late, 0, 0))
  else
    climb()
  end
end

-- A caller who knows of a later change than Redis tells that it was lost: a key expired or evicted, a failover.
if reported > 0 and believed ~= CLOSED and not exists then
  state = believed
  move(CLOSED, STATE_LOST, 0, 0)
elseif exists and reported > epoch then
  epoch = reported
  if state == CLOSED and believed == CLOSED then
    put('epoch', format('%.0f', epoch))
  else
    local as = state
    state = believed
    move(as, STATE_LOST, ends, share)
  end
end

if since > now then
  -- The clock stepped back: what was to last still lasts as long.
  if ends > 0 then ends = ends - since + now end
  since, dies = now, 0
  put('since', format('%.0f', since), 'until', format('%.0f', ends))
end

-- What is due by itself.
if ends > 0 and now >= ends then
  if state == OPEN then
    half_open(WAIT_OVER, 0)
  elseif state == HALF_OPEN then
    if share > 0 and calls > 0 then
      climb()
    elseif share == 0 and done > 0 then
      judge_probes()
    else
      open(NO_RESULTS)
    end
  elseif state == FORCED_OPEN then
    half_open(OVERRIDE_OVER, 0)
  else
    move(CLOSED, OVERRIDE_OVER, 0, 0)
  end
end

