INSERT INTO {schema}.checkpoints (projection, position, filter)
SELECT $1, 0, $2 WHERE {this}
ON CONFLICT (projection) DO UPDATE SET filter = excluded.filter
