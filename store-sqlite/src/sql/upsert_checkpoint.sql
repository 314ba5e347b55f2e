INSERT INTO checkpoints (projection, position, store, event)
VALUES (?1, ?2, (SELECT id FROM store), (SELECT event_id FROM events WHERE position = ?2))
ON CONFLICT (projection) DO UPDATE SET position = excluded.position, store = excluded.store, event = excluded.event
