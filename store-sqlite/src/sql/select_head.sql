SELECT
    max((SELECT coalesce(max(position), 0) FROM events), (SELECT value FROM counters WHERE name = 'position')),
    (SELECT coalesce(max(id), 0) FROM kinds)
