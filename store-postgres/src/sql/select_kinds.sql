SELECT kind, category, type, schema_version, (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint
FROM {schema}.kinds
WHERE {this}
