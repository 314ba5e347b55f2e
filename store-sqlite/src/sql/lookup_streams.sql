SELECT 0, wanted.column1, s.id, s.state, (SELECT max(version) FROM events WHERE stream = s.id)
FROM (VALUES {rows}) AS wanted
CROSS JOIN streams AS s ON s.category = wanted.column2 AND s.name = wanted.column3
