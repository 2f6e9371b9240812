-- Changes of AoRs of one shard: each field is written if it is newer than what is there.
-- KEYS: log, index, then each AoR's hash.
-- ARGV: node, milliseconds of a tombstone, length of the log; then for each AoR its text and how many fields
-- follow; for each field its name, age of the change, milliseconds left, CSeq, Call-ID hash, bytes (none: it is
-- removed). Gives how many fields were written, how many were older than what is there, and the last entry of the log
-- that was made (0-0: none).
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local node, grave, longest = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local HEAD = 28
local written, refused, logged = 0, 0, '0-0'
local at = 4
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
for k = 3, #KEYS do
  local key, aor, count = KEYS[k], ARGV[at], tonumber(ARGV[at + 1])
  at = at + 2
  local old, latest, wrote, differs = {}, 0, false, false
  local flat = redis.call('HGETALL', key)
  for i = 1, #flat, 2 do old[flat[i]] = flat[i + 1] end
  for _ = 1, count do
    local id, bytes = ARGV[at], ARGV[at + 5]
    local time, left = math.max(now - tonumber(ARGV[at + 1]), 0), tonumber(ARGV[at + 2])
    local cseq, call = tonumber(ARGV[at + 3]), ARGV[at + 4]
    at = at + 6
    local was, is_newer, is_same = old[id], true, false
    if was then
      local was_time, was_ends, was_cseq, was_call = struct.unpack('>I8I8I4c8', was)
      if bytes ~= '' and #was > HEAD and was_call == call then
        is_newer, is_same = cseq > was_cseq, cseq == was_cseq
      else
        -- Of a binding and its removal in one millisecond the binding stays, whichever comes first.
        is_newer = time > was_time or time == was_time and bytes ~= '' and #was == HEAD
        is_same = bytes == '' and #was == HEAD
      end
    end
    if is_newer then
      local ends = now + (bytes == '' and grave or left)
      redis.call('HSET', key, id, struct.pack('>I8I8I4', time, ends, cseq) .. call .. bytes)
      old[id] = nil
      latest = math.max(latest, ends)
      wrote, written = true, written + 1
    elseif is_same then
      -- It has come twice.
      latest = math.max(latest, (select(2, struct.unpack('>I8I8', was))))
      old[id] = nil
    else
      differs, refused = true, refused + 1
    end
  end
  for id, value in pairs(old) do
    local _, ends = struct.unpack('>I8I8', value)
    if ends <= now then
      redis.call('HDEL', key, id)
    else
      latest = math.max(latest, ends)
      differs = differs or #value > HEAD
    end
  end
  if latest > 0 then
    redis.call('PEXPIREAT', key, latest)
    redis.call('ZADD', KEYS[2], latest, aor)
  end
  if wrote or differs then
    -- Without a name also who has written it looks: there is more than it knows.
    local name = differs and '' or node
    logged = redis.call('XADD', KEYS[1], 'MAXLEN', '~', longest, '*', 'a', aor, 'n', name)
  end
end
return { written, refused, logged }
