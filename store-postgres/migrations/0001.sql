-- Version 1. What is in braces is filled in by recount; names are data and compared byte by byte.

CREATE TABLE {schema}.migrations (
    version integer PRIMARY KEY,
    migrated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The store's identity, and the schema name in the functions' texts. One row. A view is named after the identity, so that
-- statements that name it fail in every other store. A view, because its OID stays when indexes are rebuilt.
CREATE TABLE {schema}.store (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    schema_name text COLLATE "C" NOT NULL
);
INSERT INTO {schema}.store (schema_name) VALUES ('{name}');
DO $$ BEGIN
    EXECUTE (SELECT format('CREATE VIEW {schema}.store_%s AS SELECT id FROM {schema}.store', replace(id::text, '-', '')) FROM {schema}.store);
END $$;

-- Called once here, so that its last value never is a number that is still to be drawn. Must not be cached.
CREATE SEQUENCE {schema}.position_sequence AS bigint MINVALUE 0 START WITH 0 NO CYCLE;
SELECT setval('{schema}.position_sequence', 0, true);
CREATE SEQUENCE {schema}.revision_sequence AS bigint NO CYCLE;

-- Which category, type and schema version an event has, as one small number, so that one small index serves all filters. Kinds
-- are committed before the first event that uses them.
CREATE TABLE {schema}.kinds (
    kind integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    category text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    schema_version bigint NOT NULL,
    UNIQUE (category, type, schema_version)
);

-- A stream that takes no more events ends in a mark, so that whoever looks where it is sees that: a row of kind 0 whose
-- version is one of the two greatest, {archived} or {erased}, and whose position is that of the last event, negated.
CREATE TABLE {schema}.events (
    position bigint NOT NULL DEFAULT nextval('{schema}.position_sequence'),
    version bigint NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    event_id uuid NOT NULL,
    kind integer NOT NULL,
    -- category/id: a category holds no slash.
    stream text COLLATE "C" NOT NULL,
    -- A JSON array of text, or nothing for no tags.
    tags text COLLATE "C",
    -- A JSON object, or nothing for no metadata.
    metadata text COLLATE "C",
    payload bytea NOT NULL,
    CONSTRAINT events_by_position PRIMARY KEY (position),
    CONSTRAINT events_by_stream UNIQUE (stream, version),
    CONSTRAINT events_by_id UNIQUE (event_id)
);
CREATE INDEX events_by_kind ON {schema}.events (kind, position);

CREATE TABLE {schema}.tags (
    tag text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    kind integer NOT NULL,
    CONSTRAINT tags_by_tag PRIMARY KEY (tag, position) INCLUDE (kind)
);

-- Appends with an idempotency key, and their outcomes.
CREATE TABLE {schema}.appends (
    key text COLLATE "C" PRIMARY KEY,
    digest uuid NOT NULL,
    position bigint NOT NULL,
    -- JSON: [{"stream", "version", "count"}], in the order of the append.
    streams text NOT NULL,
    appended_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- The keys in the order in which they are forgotten.
CREATE INDEX appends_by_time ON {schema}.appends (appended_at);

CREATE TABLE {schema}.state (
    key text COLLATE "C" PRIMARY KEY,
    value bytea NOT NULL,
    revision bigint NOT NULL,
    -- Microseconds since 1970, by the clock of the database.
    expires_at bigint
);
CREATE INDEX state_by_expiry ON {schema}.state (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE IF NOT EXISTS {schema}.checkpoints (
    projection text COLLATE "C" PRIMARY KEY,
    position bigint NOT NULL,
    -- The store that was read, and its event at the position, if known.
    store uuid,
    event uuid,
    -- What the projection selects: the id is a part of the checkpoint, the text is for people.
    filter_id uuid,
    filter text
);

CREATE TABLE {schema}.health (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    checked_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO {schema}.health DEFAULT VALUES;

-- Events are never changed, and removed only by erase_stream. This stops mistakes, not malice.
CREATE FUNCTION {schema}.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('recount.erasing', true) = 'yes' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION '% of %.% is refused: events are only ever appended', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', HINT = 'Erase a whole stream through recount.';
END
$$;
CREATE TRIGGER refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON {schema}.events
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse();
CREATE TRIGGER refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON {schema}.tags
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse();

-- What a payload says if it is JSON, for people.
CREATE FUNCTION {schema}.payload_json(payload bytea) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN convert_from(payload, 'UTF8')::jsonb;
EXCEPTION WHEN others THEN
    RETURN NULL;
END
$$;

CREATE VIEW {schema}.event_log AS
SELECT e.position, e.stream, e.version, k.type, k.schema_version, e.recorded_at, e.event_id,
    e.tags::jsonb AS tags, e.metadata::jsonb AS metadata, {schema}.payload_json(e.payload) AS payload
FROM {schema}.events AS e JOIN {schema}.kinds AS k ON k.kind = e.kind;
