UPDATE {schema}.checkpoints SET position = $5, store = $6, event = $7
WHERE projection = $1 AND position = $2 AND store IS NOT DISTINCT FROM $3 AND event IS NOT DISTINCT FROM $4
    AND pg_current_xact_id()::text = $8 AND {this}
RETURNING position
