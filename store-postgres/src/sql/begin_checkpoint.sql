SELECT coalesce((SELECT position FROM {schema}.checkpoints WHERE projection = $1 FOR UPDATE), 0),
    pg_current_xact_id()::text
