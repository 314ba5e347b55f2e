SELECT e.version, e.kind::bigint << 32 | e.schema_version, e.payload FROM {schema}.events AS e
WHERE e.stream = $1 AND e.version > $2 AND e.version <= $3 ORDER BY e.version
