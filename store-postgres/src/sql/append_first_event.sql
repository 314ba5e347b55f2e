INSERT INTO {schema}.events (version, event_id, kind, stream, metadata, payload)
SELECT $2 + 1, $5, $4, $3, $6, $7
WHERE $1::{schema}.locked_stream IS NOT NULL AND NOT EXISTS (SELECT FROM {schema}.events AS v WHERE v.stream = $3)
    AND {this}
RETURNING position
