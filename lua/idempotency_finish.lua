-- Brings the answer of a request that must be executed once, or gives it up, so that another may.
--
-- KEYS     [1] as in idempotency_begin.lua
-- ARGV     [1] the token by which it was begun
--          [2] how long the answer is kept, in milliseconds; 0: there is none
--          [3] the answer
-- Reply    an integer: 1 done, 0: it was not the caller's any more
-- Invariant  who was silent for too long cannot answer in the place of who took over.
-- Cost     HGET, HSET, HDEL, PEXPIRE

local call = redis.call
if call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then
  call('DEL', KEYS[1])
else
  call('HSET', KEYS[1], 'answer', ARGV[3])
  call('HDEL', KEYS[1], 'token')
  call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1
