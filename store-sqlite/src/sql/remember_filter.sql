INSERT INTO checkpoints (projection, position, filter) VALUES (?1, 0, ?2)
ON CONFLICT (projection) DO UPDATE SET filter = excluded.filter
