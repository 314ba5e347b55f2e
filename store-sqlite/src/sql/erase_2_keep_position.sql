UPDATE counters SET value = max(value, (SELECT coalesce(max(position), 0) FROM events)) WHERE name = 'position'
