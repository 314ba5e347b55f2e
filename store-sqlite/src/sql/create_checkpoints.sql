CREATE TABLE IF NOT EXISTS checkpoints (
    projection TEXT NOT NULL PRIMARY KEY,
    position INTEGER NOT NULL,
    store BLOB,
    event BLOB,
    filter_id BLOB,
    filter TEXT
) STRICT, WITHOUT ROWID
