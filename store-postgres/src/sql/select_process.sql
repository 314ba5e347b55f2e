SELECT 1 FROM pg_catalog.pg_stat_activity WHERE pid = $1
