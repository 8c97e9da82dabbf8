-- Takes charges back: those made together at one time, because another rule of the same request refused elsewhere or
-- the work was not done; or the newest that still count.
--
-- KEYS     as of the call of rate_check.lua that charged
-- ARGV     [1]  the time of that call, in microseconds, decimal: its receipt; empty: take the newest
--          [2]  its rules, as in rate_check.lua; cost: the units to take back
--          [3]  the holder of that call (8 bytes), whose record, the last of KEYS, is forgotten with it; or empty. Where
--               others hold it, too, or it is settled, or of another call, nothing is taken back
-- Reply    the units taken back, one integer a rule
-- State    as in rate_check.lua
-- Invariant  nothing is taken back but what still counts and, with a receipt, was charged at that time (in counters: in
--          its slot). A receipt is to be used once. The time to live of the key stays as it is.
-- Cost     TIME; a GET, a SET and a PUBLISH a rule that has something to take back; GET and UNLINK of a record

local call, unpack, pack, sub, rep = redis.call, struct.unpack, struct.pack, string.sub, string.rep
local lap, whole = 4294967296, 281474976710656
local time = call('TIME')
local now = time[1] * 1000000 + time[2]
-- include parts/rate_sections.lua
-- include parts/rate_places.lua

local at, holder = tonumber(ARGV[1]), ARGV[3] ~= '' and ARGV[3]
local reply = {}
local record = holder and call('GET', KEYS[#KEYS])
if record then
  local held, when = unpack('>BI7', record)
  if held > 0 or when ~= at then
    if held > 1 and held < 255 and when == at then
      call('SETRANGE', KEYS[#KEYS], '0', pack('B', held > 2 and held - 1 or 0))
    end
    for r = 1, #ARGV[2] / 38 do reply[r] = 0 end
    return reply
  end
  call('UNLINK', KEYS[#KEYS])
end
for r = 0, #ARGV[2] / 38 - 1 do
  local k, kind, _, id, _, window, unit, rate, units = unpack('>BBBI4I6I6I6I6I7', ARGV[2], 38 * r + 1)
  local s, taken = take_back(call('GET', KEYS[k]) or '', id, kind, unit, window, rate, units, at, holder)
  if s then
    call('SET', KEYS[k], s, 'KEEPTTL')
    -- Who remembers refusals under the key forgets them; where the user may not publish, after a second at most.
    redis.pcall('PUBLISH', 'rate:changed', KEYS[k])
  end
  reply[r + 1] = taken
end
return reply
