-- AoRs of one shard as they are: the engine's time, then the fields of each of KEYS.
local t = redis.call('TIME')
local all = { t[1] * 1000 + math.floor(t[2] / 1000) }
for i, key in ipairs(KEYS) do all[i + 1] = redis.call('HGETALL', key) end
return all
