UPDATE {schema}.checkpoints SET position = $6, store = $7, event = $8, filter_id = $9
WHERE projection = $1 AND position = $2 AND store IS NOT DISTINCT FROM $3 AND event IS NOT DISTINCT FROM $4
    AND filter_id IS NOT DISTINCT FROM $5 AND pg_current_xact_id()::text = $10 AND {this}
RETURNING position
