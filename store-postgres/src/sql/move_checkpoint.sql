UPDATE {schema}.checkpoints SET position = $3
WHERE projection = $1 AND position = $2 AND pg_current_xact_id()::text = $4
RETURNING position
