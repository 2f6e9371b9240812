-- A node says that it is there. KEYS: the nodes, the fingerprint of their secret.
-- ARGV: name, instance, milliseconds of a lease, fingerprint, what is to be shown of it.
-- Gives why not, or nothing, the engine's time, then name, time and what is to be shown of each node.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local name, instance, lease = ARGV[1], ARGV[2], tonumber(ARGV[3])
local secret = redis.call('GET', KEYS[2])
if secret and secret ~= ARGV[4] then return { 'secret' } end
local function read(value) return string.match(value, '^(%S+) (%d+) (.*)$') end
local before = redis.call('HGET', KEYS[1], name)
if before then
  local other, time, shown = read(before)
  if other ~= instance and now - tonumber(time) < lease then return { 'name', shown } end
end
if not secret then redis.call('SET', KEYS[2], ARGV[4]) end
redis.call('HSET', KEYS[1], name, instance .. ' ' .. string.format('%.0f', now) .. ' ' .. ARGV[5])
local all, flat = { '', now }, redis.call('HGETALL', KEYS[1])
for i = 1, #flat, 2 do
  local _, time, shown = read(flat[i + 1])
  if now - tonumber(time) > 86400000 then
    redis.call('HDEL', KEYS[1], flat[i])
  else
    all[#all + 1] = flat[i]
    all[#all + 1] = now - tonumber(time)
    all[#all + 1] = shown
  end
end
return all
