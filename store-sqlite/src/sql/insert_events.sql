INSERT INTO events (position, stream, version, kind, recorded_at, event_id, tags, metadata, payload)
SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL
