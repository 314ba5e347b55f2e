-- The age of the oldest transaction with an append under way, by the locks that safe_head looks at.
SELECT coalesce(greatest(extract(epoch FROM clock_timestamp() - min(a.xact_start)), 0), 0)::float8
FROM pg_catalog.pg_locks AS l JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.classid = {position_key}::oid AND l.objsubid = 2 AND l.granted
    AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database()) AND {this}
