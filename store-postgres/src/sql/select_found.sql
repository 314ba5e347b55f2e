SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1), c.oid, substr(c.relname, 7)
FROM (VALUES (1)) AS one
LEFT JOIN (
    pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = $1 AND c.relname ~ '^store_[0-9a-f]{32}$'
) ON true
