INSERT INTO kinds (id, category, event_type, schema_version)
SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL
