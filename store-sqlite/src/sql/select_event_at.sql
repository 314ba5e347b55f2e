SELECT
    (SELECT event_id FROM events WHERE position = ?1),
    (SELECT value FROM counters WHERE name = 'position') >= ?1
