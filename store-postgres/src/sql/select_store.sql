SELECT s.id, ('{schema}.store_' || replace(s.id::text, '-', ''))::regclass::oid
FROM {schema}.store AS s
