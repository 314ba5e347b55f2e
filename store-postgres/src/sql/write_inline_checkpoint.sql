INSERT INTO {schema}.checkpoints (projection, position, store, event, filter_id, filter)
SELECT $1, $2, $3, $4, $5, $6 WHERE {this}
ON CONFLICT (projection) DO UPDATE SET position = excluded.position, store = excluded.store, event = excluded.event,
    filter_id = excluded.filter_id, filter = excluded.filter
