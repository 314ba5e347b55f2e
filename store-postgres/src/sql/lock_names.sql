SELECT count(CASE
    WHEN l.exclusive THEN pg_advisory_xact_lock(l.lock)::text ELSE pg_advisory_xact_lock_shared(l.lock)::text
END)
FROM unnest($1::bigint[], $2::boolean[]) AS l(lock, exclusive)
