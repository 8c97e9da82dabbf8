-- Forgets what some rules, or all, have counted under one key.
--
-- KEYS     the (user, endpoint)
-- ARGV     rule ids, 4 bytes each, big-endian; none: the whole key
-- Reply    the number of rules forgotten (1 for a whole key), an integer
-- State    as in rate_check.lua
-- Invariant  sections of other rules, and the time to live of the key, stay as they are
-- Cost     PUBLISH; UNLINK; or GET, then SET or UNLINK when a rule had counted something

-- Who remembers refusals under the key forgets them; where the user may not publish, after a second at most.
redis.pcall('PUBLISH', 'rate:changed', KEYS[1])
if #ARGV == 0 then return redis.call('UNLINK', KEYS[1]) end
local s = redis.call('GET', KEYS[1])
if not s then return 0 end
local forget = {}
for _, id in ipairs(ARGV) do forget[id] = true end
local kept, forgotten, p = {string.sub(s, 1, 12)}, 0, 13
while p < #s do
  local size = struct.unpack('>I3', s, p + 5)
  local stop = size > 0 and p + 14 + size or #s + 1
  if forget[string.sub(s, p, p + 3)] then
    forgotten = forgotten + 1
  else
    kept[#kept + 1] = string.sub(s, p, stop - 1)
  end
  p = stop
end
if #kept == 1 then
  redis.call('UNLINK', KEYS[1])
elseif forgotten > 0 then
  redis.call('SET', KEYS[1], table.concat(kept), 'KEEPTTL')
end
return forgotten
