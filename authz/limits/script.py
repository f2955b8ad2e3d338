"""The script that spends on the server: all budgets of one decision at once, by the server's own clock."""

SCRIPT = """
-- KEYS: the budgets, then the mark of a gateway's retry if there is one.
-- ARGV: how many budgets, how long the mark stays (ms), then interval and tolerance of each (microseconds).
-- Answers {0, 0}, or which budget was spent, counted from 1, and how long until it is not (microseconds).
local budgets = tonumber(ARGV[1])
local mark = KEYS[budgets + 1]
if mark and redis.call('EXISTS', mark) == 1 then
  return {0, 0}
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local spent, longest, full_at = 0, 0, {}
for i = 1, budgets do
  local interval, tolerance = tonumber(ARGV[2 * i + 1]), tonumber(ARGV[2 * i + 2])
  local at = math.max(tonumber(redis.call('GET', KEYS[i])) or now, now)
  local wait = at - now - tolerance
  if wait > longest then
    spent, longest = i, wait
  end
  full_at[i] = at + interval
end
if spent > 0 then
  return {spent, longest}
end
for i = 1, budgets do
  redis.call('SET', KEYS[i], string.format('%.0f', full_at[i]), 'PX', math.ceil((full_at[i] - now) / 1000) + 1)
end
if mark then
  redis.call('SET', mark, '', 'PX', ARGV[2])
end
return {0, 0}
"""
"""Every number stays below 2**53, where Lua's doubles are exact: microseconds since 1970, and a year at most."""
