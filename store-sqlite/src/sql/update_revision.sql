UPDATE counters SET value = ? WHERE name = 'revision'
