-- What stands in a log behind a position. KEYS: the log. ARGV: the position (none: behind everything), how many entries at
-- most, and the last entry that was made by who asks (0-0: none).
-- Gives the ids of the first and last entry that there are, the id of an entry that was there and is not (0-0: none),
-- then id, AoR and node of each entry.
local log = KEYS[1]
local function edge(entries) return entries[1] and entries[1][1] or '0-0' end
-- Not one that is too old: some entry before it is still there.
local function is_lost(id)
  return id ~= '' and id ~= '0-0' and #redis.call('XRANGE', log, id, id) == 0
    and #redis.call('XREVRANGE', log, '(' .. id, '-', 'COUNT', 1) > 0
end
local all = {
  edge(redis.call('XRANGE', log, '-', '+', 'COUNT', 1)),
  edge(redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)),
  is_lost(ARGV[1]) and ARGV[1] or is_lost(ARGV[3]) and ARGV[3] or '0-0',
}
if ARGV[1] ~= '' and ARGV[1] ~= all[2] then
  for _, entry in ipairs(redis.call('XRANGE', log, '(' .. ARGV[1], '+', 'COUNT', ARGV[2])) do
    all[#all + 1] = entry[1]
    all[#all + 1] = entry[2][2]
    all[#all + 1] = entry[2][4]
  end
end
return all
