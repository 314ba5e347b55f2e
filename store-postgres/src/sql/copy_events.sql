COPY {schema}.events
    (position, version, recorded_at, event_id, kind, stream, tags, metadata, payload)
FROM STDIN (FORMAT binary)
