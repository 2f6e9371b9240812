-- What stands in a log behind a position. KEYS: the log. ARGV: the position (none: behind everything), and how many
-- entries at most.
-- Gives the ids of the first and last entry that there are, then id, AoR and node of each entry.
local function edge(entries) return entries[1] and entries[1][1] or '0-0' end
local all = {
  edge(redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)),
  edge(redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)),
}
if ARGV[1] ~= '' and ARGV[1] ~= all[2] then
  for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', ARGV[2])) do
    all[#all + 1] = entry[1]
    all[#all + 1] = entry[2][2]
    all[#all + 1] = entry[2][4]
  end
end
return all
