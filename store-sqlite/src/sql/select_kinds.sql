SELECT id, category, event_type, schema_version FROM kinds WHERE id > ?1 ORDER BY id
