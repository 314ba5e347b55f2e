SELECT CASE WHEN $1 THEN pg_advisory_xact_lock({gate_key})::text ELSE pg_advisory_xact_lock_shared({gate_key})::text END
