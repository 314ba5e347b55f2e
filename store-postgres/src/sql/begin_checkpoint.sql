SELECT coalesce(c.position, 0), c.store, c.event, pg_current_xact_id()::text
FROM (VALUES ($1)) AS wanted (projection)
LEFT JOIN LATERAL (
    SELECT position, store, event FROM {schema}.checkpoints WHERE projection = wanted.projection FOR UPDATE
) AS c ON true
WHERE {this}
