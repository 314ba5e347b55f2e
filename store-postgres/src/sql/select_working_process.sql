SELECT 1 FROM pg_catalog.pg_stat_activity
WHERE pid = $1 AND (extract(epoch FROM backend_start) * 1000000)::bigint = $2 AND state = 'active'
    AND wait_event_type IS DISTINCT FROM 'Client'
