INSERT INTO {schema}.events (version, schema_version, event_id, kind, stream, metadata, payload)
SELECT $2 + 1, $6, $5, $4, $3, $7, $8
WHERE $1::{schema}.locked_stream IS NOT NULL AND NOT EXISTS (SELECT FROM {schema}.events AS v WHERE v.stream = $3)
RETURNING position
