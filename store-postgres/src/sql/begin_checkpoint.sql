SELECT coalesce(c.position, 0), c.store, c.event, c.filter_id, pg_current_xact_id()::text
FROM (VALUES ($1)) AS wanted (projection)
LEFT JOIN {schema}.checkpoints AS c ON c.projection = wanted.projection
WHERE {this}
