SELECT e.version, e.kind::bigint << 32 | e.schema_version, e.payload FROM {schema}.events AS e
WHERE e.stream = $1