SELECT pg_advisory_xact_lock_shared({position_key}, (s.last_value & 2147483647)::integer)::text
FROM {schema}.position_sequence AS s
