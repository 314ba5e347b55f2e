INSERT INTO {schema}.events (version, event_id, kind, stream, metadata, payload)
SELECT h.version + 1, $5, $4, $3, $6, $7
FROM (
    SELECT v.version FROM {schema}.events AS v WHERE v.stream = $3 AND v.version >= $2 ORDER BY v.version DESC LIMIT 1
) AS h
WHERE $1::{schema}.locked_stream IS NOT NULL AND h.version = $2 AND {this}
RETURNING position
