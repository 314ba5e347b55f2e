INSERT INTO {schema}.checkpoints (projection, position)
SELECT $1, 0 WHERE pg_current_xact_id()::text = $2 AND {this} ON CONFLICT DO NOTHING
