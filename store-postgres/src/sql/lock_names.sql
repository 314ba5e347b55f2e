SELECT count(CASE
    WHEN l.exclusive THEN pg_advisory_xact_lock(l.lock)::text ELSE pg_advisory_xact_lock_shared(l.lock)::text
END)
FROM (
    SELECT hashtextextended(n.name COLLATE "C", {seed}) AS lock, bool_or(n.exclusive) AS exclusive
    FROM unnest($1::text[], $2::boolean[]) AS n(name, exclusive) GROUP BY 1 ORDER BY 1 OFFSET 0
) AS l
