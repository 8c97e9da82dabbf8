-- Opens the record of a request that must be executed once, or tells what came of it.
--
-- KEYS     [1] idempotency:<key>, a hash: print, what the request was; token, who executes it; answer, what he answered
-- ARGV     [1] a token of the caller's own
--          [2] the print of the request: two that differ are two requests
--          [3] how long the caller may be silent, in milliseconds
-- Reply    1 go on, answer, and bring the answer; {0, ms}: another is at it, for so long at most unless he says more;
--          2: the key stands for another request; a text: the answer
-- Invariant  of callers with one key and one print one goes on at a time, and none once there is an answer.
-- Cost     HMGET, HSET, PEXPIRE

local call = redis.call
local print, token, answer = unpack(call('HMGET', KEYS[1], 'print', 'token', 'answer'))
if not print then
  call('HSET', KEYS[1], 'print', ARGV[2], 'token', ARGV[1])
elseif print ~= ARGV[2] then
  return 2
elseif answer then
  return answer
elseif token ~= ARGV[1] then
  return {0, call('PTTL', KEYS[1])}
end
call('PEXPIRE', KEYS[1], ARGV[3])
return 1
