INSERT INTO checkpoints (projection, position, store, event, filter_id)
VALUES (?1, ?2, (SELECT id FROM store), (SELECT event_id FROM events WHERE position = ?2), ?3)
ON CONFLICT (projection) DO UPDATE SET position = excluded.position, store = excluded.store, event = excluded.event,
    filter_id = excluded.filter_id
