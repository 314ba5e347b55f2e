-- Schema version 1. A migration is one script: it runs whole or not at all.

-- The store's identity: drawn at creation, copied by backups. One row.
CREATE TABLE store (
    single INTEGER PRIMARY KEY CHECK (single = 1),
    id BLOB NOT NULL CHECK (length(id) = 16)
) STRICT;

CREATE TABLE streams (
    id INTEGER PRIMARY KEY,
    category TEXT NOT NULL,
    name TEXT NOT NULL,
    -- 0 open, 1 archived, 2 erased
    state INTEGER NOT NULL DEFAULT 0 CHECK (state IN (0, 1, 2)),
    UNIQUE (category, name)
) STRICT;

-- What events have in common, so that one small index serves every filter by type and category.
CREATE TABLE kinds (
    id INTEGER PRIMARY KEY,
    category TEXT NOT NULL,
    event_type TEXT NOT NULL,
    schema_version INTEGER NOT NULL CHECK (schema_version > 0),
    UNIQUE (category, event_type, schema_version)
) STRICT;

CREATE TABLE events (
    position INTEGER PRIMARY KEY CHECK (position > 0),
    stream INTEGER NOT NULL,
    version INTEGER NOT NULL CHECK (version > 0),
    kind INTEGER NOT NULL,
    -- microseconds since 1970
    recorded_at INTEGER NOT NULL,
    event_id BLOB NOT NULL UNIQUE,
    -- a JSON array, or NULL if there are none
    tags TEXT,
    -- a JSON object, or NULL if it is empty
    metadata TEXT,
    payload BLOB NOT NULL,
    UNIQUE (stream, version)
) STRICT;

CREATE INDEX events_by_kind ON events (kind, position);

CREATE TABLE tags (
    tag TEXT NOT NULL,
    position INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    PRIMARY KEY (tag, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency (
    key TEXT NOT NULL PRIMARY KEY,
    digest BLOB NOT NULL,
    outcome TEXT NOT NULL,
    -- microseconds since 1970
    recorded_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The keys in the order in which they are forgotten.
CREATE INDEX idempotency_by_time ON idempotency (recorded_at);

CREATE TABLE state (
    key TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL,
    revision INTEGER NOT NULL,
    -- microseconds since 1970, or NULL for never
    expires_at INTEGER
) STRICT;

CREATE INDEX state_by_expiry ON state (expires_at) WHERE expires_at IS NOT NULL;

-- The table exists already if the file was created for read models.
CREATE TABLE IF NOT EXISTS checkpoints (
    projection TEXT NOT NULL PRIMARY KEY,
    position INTEGER NOT NULL,
    -- the store that was read, and its event at the position, if known
    store BLOB,
    event BLOB,
    -- what the projection selects: the id is a part of the checkpoint, the text is for people
    filter_id BLOB,
    filter TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE counters (
    name TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- position: the greatest that erased events had; revision: the last write to the state.
INSERT INTO counters (name, value) VALUES ('position', 0), ('revision', 0);

-- Health checks write to it and delete again, to prove room for an append.
CREATE TABLE health (
    single INTEGER PRIMARY KEY CHECK (single = 1),
    room BLOB NOT NULL
) STRICT;

-- The stream whose rows may be deleted; it has a row only within an erasing transaction.
CREATE TABLE erasing (stream INTEGER PRIMARY KEY) STRICT;

CREATE TRIGGER events_refuse_update BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'events are never changed');
END;

CREATE TRIGGER events_refuse_delete BEFORE DELETE ON events
WHEN NOT EXISTS (SELECT 1 FROM erasing WHERE stream = OLD.stream)
BEGIN
    SELECT RAISE(ABORT, 'events are only deleted by erasing their stream');
END;

CREATE TRIGGER tags_refuse_update BEFORE UPDATE ON tags
BEGIN
    SELECT RAISE(ABORT, 'tags are never changed');
END;

CREATE TRIGGER tags_refuse_delete BEFORE DELETE ON tags
WHEN NOT EXISTS (SELECT 1 FROM erasing)
BEGIN
    SELECT RAISE(ABORT, 'tags are only deleted by erasing their stream');
END;

CREATE TRIGGER store_refuse_update BEFORE UPDATE ON store
BEGIN
    SELECT RAISE(ABORT, 'the identity of a store is never changed');
END;

CREATE TRIGGER store_refuse_delete BEFORE DELETE ON store
BEGIN
    SELECT RAISE(ABORT, 'the identity of a store is never deleted');
END;

CREATE TRIGGER streams_refuse_rename BEFORE UPDATE OF id, category, name ON streams
BEGIN
    SELECT RAISE(ABORT, 'streams are never renamed');
END;

CREATE TRIGGER streams_refuse_delete BEFORE DELETE ON streams
BEGIN
    SELECT RAISE(ABORT, 'the name of a stream is never used again');
END;

CREATE TRIGGER kinds_refuse_update BEFORE UPDATE ON kinds
BEGIN
    SELECT RAISE(ABORT, 'kinds of events are never changed');
END;

CREATE TRIGGER kinds_refuse_delete BEFORE DELETE ON kinds
BEGIN
    SELECT RAISE(ABORT, 'kinds of events are never deleted');
END;

-- For people with the sqlite3 shell: SELECT * FROM event_log WHERE stream = 'account/42';
CREATE VIEW event_log AS
SELECT
    e.position,
    s.category || '/' || s.name AS stream,
    e.version,
    k.event_type AS type,
    k.schema_version,
    strftime('%Y-%m-%dT%H:%M:%fZ', e.recorded_at / 1000000.0, 'unixepoch') AS recorded_at,
    CAST(e.payload AS TEXT) AS payload,
    e.tags,
    e.metadata,
    lower(hex(e.event_id)) AS event_id
FROM events AS e
JOIN streams AS s ON s.id = e.stream
JOIN kinds AS k ON k.id = e.kind;
