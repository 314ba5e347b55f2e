SELECT pid, (extract(epoch FROM backend_start) * 1000000)::bigint,
    (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint,
    pg_is_in_recovery()
FROM pg_catalog.pg_stat_activity
WHERE pid = pg_backend_pid()
