-- The functions. Their texts contain the schema's name, so they are recreated when the schema is renamed.
--
-- Every statement that reads or writes names the view of the store's identity, {mark}. The server resolves names again
-- when one may have changed its meaning. So a statement fails if the schema was renamed and another store has replaced
-- it, even in the middle of a function. The check has no cost per execution: it is done when the statement is planned.

-- The safe position: statements after this one see every event up to it, and no further event is committed up to it.
-- The sequence must be read before the locks: an append that drew a position up to it then holds its lock or has ended.
CREATE OR REPLACE FUNCTION {schema}.safe_head() RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    head bigint;
    behind bigint;
BEGIN
    SELECT last_value INTO head FROM {schema}.position_sequence;
    -- How far the lowest lock is behind, with 31 bits of what was the last value when it was taken. A lock that
    -- seems more than 2^30 behind was taken since and is ahead.
    SELECT max(distance) INTO behind
    FROM (
        SELECT (head - objid::bigint) & 2147483647 AS distance FROM pg_catalog.pg_locks
        WHERE locktype = 'advisory' AND classid = {position_key}::oid AND objsubid = 2
            AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
    ) AS locks
    WHERE distance < 1073741824;
    RETURN head - coalesce(behind, 0);
END
$$;

-- The last event that is safe to read, the number of kinds, and the start time of the server.
--
-- safe_before is a position that was safe earlier. It stays safe, although safe_head can return less again: an append
-- that read the sequence long ago may take its lock only now. The caller must have safe_before from this server and from
-- a committed row. A number that was drawn but not committed is not safe: the sequence forgets it in a crash and issues
-- it again.
CREATE OR REPLACE FUNCTION {schema}.head(safe_before bigint, OUT last bigint, OUT kinds bigint, OUT server bigint)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    newest bigint;
    safe bigint;
BEGIN
    -- Read the newest event before the sequence: the sequence only grows afterwards.
    newest := (SELECT e.position FROM {schema}.events AS e ORDER BY e.position DESC LIMIT 1);
    IF newest > (SELECT last_value FROM {schema}.position_sequence) THEN
        RAISE EXCEPTION 'the sequence % is behind the events, of which the last has the position %',
            '{schema}.position_sequence', newest USING ERRCODE = 'data_corrupted';
    END IF;
    safe := greatest({schema}.safe_head(), safe_before);
    SELECT greatest(
        (SELECT e.position FROM {schema}.events AS e WHERE e.position <= safe ORDER BY e.position DESC LIMIT 1),
        -- The last position of an erased stream, from its mark.
        (SELECT -m.position FROM {schema}.events AS m WHERE m.position >= -safe ORDER BY m.position LIMIT 1),
        0
    ), (SELECT count(*) FROM {schema}.kinds), (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint
    INTO last, kinds, server WHERE '{schema}.{mark}'::regclass IS NOT NULL;
END
$$;

-- The position of the last event behind a position that an append condition excludes.
CREATE OR REPLACE FUNCTION {schema}.last_match(after bigint, items jsonb) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    item jsonb;
    item_types text[];
    item_category text;
    item_tags text[];
    item_kinds integer[];
    found_position bigint;
    last bigint := after;
BEGIN
    FOR item IN SELECT value FROM jsonb_array_elements(items) LOOP
        item_types := ARRAY(SELECT jsonb_array_elements_text(item -> 'types'));
        item_tags := ARRAY(SELECT jsonb_array_elements_text(item -> 'tags'));
        item_category := item ->> 'category';
        item_kinds := NULL;
        IF cardinality(item_types) > 0 OR item_category IS NOT NULL THEN
            item_kinds := ARRAY(
                SELECT k.kind FROM {schema}.kinds AS k
                WHERE (cardinality(item_types) = 0 OR k.type = ANY (item_types))
                    AND (item_category IS NULL OR k.category = item_category)
            );
        END IF;
        IF cardinality(item_tags) > 0 THEN
            SELECT t.position INTO found_position FROM {schema}.tags AS t
            WHERE t.tag = item_tags[1] AND t.position > last AND (item_kinds IS NULL OR t.kind = ANY (item_kinds))
                AND (cardinality(item_tags) = 1 OR cardinality(item_tags) - 1 = (
                    SELECT count(*) FROM {schema}.tags AS x
                    WHERE x.tag = ANY (item_tags[2:]) AND x.position = t.position
                ))
            ORDER BY t.position DESC LIMIT 1;
        ELSIF item_kinds IS NULL THEN
            SELECT e.position INTO found_position FROM {schema}.events AS e
            WHERE e.position > last ORDER BY e.position DESC LIMIT 1;
        ELSE
            SELECT max(f.position) INTO found_position FROM unnest(item_kinds) AS k(kind)
            CROSS JOIN LATERAL (
                -- Compared as rows, so that no other index will do.
                SELECT e.position FROM {schema}.events AS e
                WHERE (e.kind, e.position) > (k.kind, last) AND (e.kind, e.position) < (k.kind + 1, 0)
                ORDER BY e.kind DESC, e.position DESC LIMIT 1
            ) AS f;
        END IF;
        last := greatest(last, found_position);
    END LOOP;
    RETURN CASE WHEN last > after THEN last END;
END
$$;

-- The locks of an append, always taken in this order, so that appends don't deadlock:
-- 1. the gate: shared, or exclusive (`alone`) if a condition can match any event, or if there are too many names;
-- 2. the names: exclusive, except those for which `exclusive` is false, which are shared;
-- 3. the position.
CREATE OR REPLACE FUNCTION {schema}.lock_gate() RETURNS boolean LANGUAGE sql VOLATILE AS $$
    SELECT pg_advisory_xact_lock_shared({gate_key}) IS NOT NULL
$$;
CREATE OR REPLACE FUNCTION {schema}.lock_names(locks bigint[], exclusive boolean[], alone boolean) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    held text;
    lock bigint;
BEGIN
    -- Assignments, because they need no plan.
    IF alone THEN
        held := pg_advisory_xact_lock({gate_key})::text;
        RETURN true;
    END IF;
    held := {schema}.lock_gate()::text;
    IF false = ANY (exclusive) THEN
        PERFORM CASE
            WHEN l.exclusive THEN pg_advisory_xact_lock(l.lock)::text ELSE pg_advisory_xact_lock_shared(l.lock)::text
        END
        FROM unnest(locks, exclusive) AS l(lock, exclusive);
    ELSE
        FOREACH lock IN ARRAY locks LOOP
            held := pg_advisory_xact_lock(lock)::text;
        END LOOP;
    END IF;
    RETURN true;
END
$$;
-- The lock must be taken before positions are drawn: see safe_head.
CREATE OR REPLACE FUNCTION {schema}.lock_position() RETURNS boolean LANGUAGE sql VOLATILE AS $$
    SELECT pg_advisory_xact_lock_shared(
        {position_key}, (pg_sequence_last_value('{schema}.position_sequence') & 2147483647)::integer
    ) IS NOT NULL
$$;

-- Appends a batch. Each append succeeds or conflicts on its own, and sees the appends before it.
--
-- Every statement in the function has a snapshot of its own, so the statements after the locks see the commits of the
-- previous holders.
CREATE OR REPLACE FUNCTION {schema}.append_batch(
    appends integer,
    -- The distinct streams, and the parts of the appends, each for one of them, in order.
    streams text[], part_append integer[], part_stream integer[], part_expected bigint[], part_count integer[],
    -- The events, in order: of which part, and which one of it, from 1.
    event_part integer[], event_index integer[], event_stream text[], event_kind integer[], event_id uuid[],
    event_tags text[], event_metadata text[], event_payload bytea[],
    tag_part integer[], tag_index integer[], tag_kind integer[], tag_name text[],
    -- The locks in order, and whether each is exclusive or shared. If `alone`, only the gate is locked, exclusively.
    locks bigint[], lock_exclusive boolean[], alone boolean,
    -- The keys: each of a whole append (part 0), or of some events of one part: the index of the last one, and their number.
    key_append integer[], key_name text[], key_digest uuid[], key_part integer[], key_end integer[], key_count integer[],
    condition_append integer[], condition_after bigint[], condition_items text[],
    -- Whether all its alternatives are in the simple form that follows: up to two tags, and kinds, if any are asked
    -- for, right if the caller knows all kinds there are.
    condition_simple boolean[], simple_append integer[], simple_after bigint[], simple_tag text[], simple_other text[],
    simple_kinds text[], kinds_known bigint,
    -- Per append: whether it was written, and the position of an event that its condition excludes.
    OUT accepted boolean[], OUT condition_position bigint[],
    -- Per part: the stream's version before the append.
    OUT part_head bigint[],
    -- The positions of the written events, in order.
    OUT positions bigint[],
    -- The known keys, each with the index of its append.
    OUT known_name text[], OUT known_append integer[], OUT known_digest uuid[], OUT known_position bigint[], OUT known_streams text[]
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    parts integer := cardinality(part_append);
    heads bigint[];
    known boolean[] := array_fill(false, ARRAY[appends]);
    first_part integer[] := array_fill(1, ARRAY[appends]);
    last_part integer[] := array_fill(0, ARRAY[appends]);
    part_rank bigint[] := array_fill(-1::bigint, ARRAY[parts]);
    -- Per append: the number of events of the batch written up to its end.
    append_end bigint[] := array_fill(0::bigint, ARRAY[appends]);
    part integer := 1;
    stream integer;
    total bigint := 0;
    ok boolean;
    held boolean;
    seen record;
    all_known boolean := false;
    a integer;
BEGIN
    accepted := array_fill(false, ARRAY[appends]);
    condition_position := array_fill(NULL::bigint, ARRAY[appends]);
    part_head := array_fill(0::bigint, ARRAY[parts]);
    positions := '{}';
    known_append := '{}';

    held := {schema}.lock_names(locks, lock_exclusive, alone);

    IF cardinality(key_append) > 0 THEN
        FOR seen IN
            SELECT k.append, k.name, n.digest, n.position, n.streams
            FROM unnest(key_append, key_name) AS k(append, name)
            CROSS JOIN LATERAL (SELECT * FROM {schema}.appends AS s WHERE s.key = k.name) AS n
        LOOP
            known[seen.append] := true;
            known_name := known_name || seen.name;
            known_append := known_append || seen.append;
            known_digest := known_digest || seen.digest;
            known_position := known_position || seen.position;
            known_streams := known_streams || seen.streams;
        END LOOP;
    END IF;

    SELECT array_agg(coalesce(h.version, 0) ORDER BY s.n) INTO heads
    FROM unnest(streams) WITH ORDINALITY AS s(name, n)
    LEFT JOIN LATERAL (
        SELECT e.version FROM {schema}.events AS e WHERE e.stream = s.name ORDER BY e.version DESC LIMIT 1
    ) AS h ON true
    WHERE '{schema}.{mark}'::regclass IS NOT NULL;

    IF cardinality(simple_append) > 0 THEN
        all_known := kinds_known = (SELECT count(*) FROM {schema}.kinds);
        IF all_known THEN
            FOR seen IN
                SELECT c.append, max(f.position) AS position
                FROM unnest(simple_append, simple_after, simple_tag, simple_other, simple_kinds)
                    AS c(append, after, tag, other, kinds)
                CROSS JOIN LATERAL (
                    SELECT t.position FROM {schema}.tags AS t
                    WHERE t.tag = c.tag AND t.position > c.after
                        AND (c.kinds IS NULL OR t.kind = ANY (c.kinds::integer[]))
                        AND (c.other IS NULL OR (
                            SELECT count(*) FROM {schema}.tags AS o WHERE o.tag = c.other AND o.position = t.position
                        ) = 1)
                    ORDER BY t.position DESC LIMIT 1
                ) AS f
                GROUP BY c.append
            LOOP
                condition_position[seen.append] := seen.position;
            END LOOP;
        END IF;
    END IF;
    FOR i IN 1 .. cardinality(condition_append) LOOP
        a := condition_append[i];
        IF NOT known[a] AND NOT (condition_simple[i] AND all_known) THEN
            condition_position[a] := {schema}.last_match(condition_after[i], condition_items[i]::jsonb);
        END IF;
    END LOOP;

    FOR append IN 1 .. appends LOOP
        ok := condition_position[append] IS NULL AND NOT known[append];
        first_part[append] := part;
        WHILE part <= parts AND part_append[part] = append LOOP
            stream := part_stream[part];
            part_head[part] := heads[stream];
            IF heads[stream] >= {archived}
                OR part_expected[part] >= 0 AND part_expected[part] <> heads[stream]
                OR part_expected[part] = -2 AND heads[stream] = 0
            THEN
                ok := false;
            END IF;
            part := part + 1;
        END LOOP;
        last_part[append] := part - 1;
        IF ok THEN
            accepted[append] := true;
            FOR p IN first_part[append] .. part - 1 LOOP
                part_rank[p] := total;
                total := total + part_count[p];
                heads[part_stream[p]] := heads[part_stream[p]] + part_count[p];
            END LOOP;
            append_end[append] := total;
        END IF;
    END LOOP;

    IF total > 0 THEN
        held := {schema}.lock_position();
        positions := ARRAY(SELECT nextval('{schema}.position_sequence') FROM generate_series(1, total));

        -- Numbered rows take their values from the arrays: to unnest so many takes longer.
        INSERT INTO {schema}.events (position, version, event_id, kind, stream, tags, metadata, payload)
        SELECT positions[part_rank[event_part[i]] + event_index[i]], part_head[event_part[i]] + event_index[i],
            event_id[i], event_kind[i], event_stream[i], event_tags[i], event_metadata[i], event_payload[i]
        FROM generate_series(1, cardinality(event_part)) AS i
        WHERE part_rank[event_part[i]] >= 0 AND '{schema}.{mark}'::regclass IS NOT NULL;

        IF cardinality(tag_part) > 0 THEN
            INSERT INTO {schema}.tags (tag, position, kind)
            SELECT t.name, positions[part_rank[t.part] + t.index], t.kind
            FROM unnest(tag_part, tag_index, tag_kind, tag_name) AS t(part, index, kind, name)
            WHERE part_rank[t.part] >= 0 AND '{schema}.{mark}'::regclass IS NOT NULL;
        END IF;
    END IF;

    IF cardinality(key_append) > 0 THEN
        INSERT INTO {schema}.appends (key, digest, position, streams)
        SELECT key_name[i], key_digest[i],
            -- An outcome without events has no position.
            CASE WHEN o.count > 0 THEN positions[append_end[key_append[i]]] ELSE 0 END, o.streams::text
        FROM generate_series(1, cardinality(key_append)) AS i
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(c.count), 0) AS count, coalesce(jsonb_agg(jsonb_build_object(
                'stream', streams[part_stream[c.p]], 'version', part_head[c.p] + c.up_to, 'count', c.count
            ) ORDER BY c.p), '[]') AS streams
            FROM (
                SELECT p, part_count[p] AS up_to, part_count[p] AS count
                FROM generate_series(first_part[key_append[i]], last_part[key_append[i]]) AS p WHERE key_part[i] = 0
                UNION ALL
                SELECT key_part[i], key_end[i], key_count[i] WHERE key_part[i] > 0
            ) AS c
        ) AS o
        WHERE accepted[key_append[i]] AND '{schema}.{mark}'::regclass IS NOT NULL;
    END IF;
END
$$;

-- Appends single events, each as an append and to a stream of its own, without conditions. Takes the same locks and makes
-- the same checks in the same order as append_batch, in as few statements as possible. Returns the positions, NULL for
-- conflicts, followed by the streams' versions before. One array is faster to return than columns. Returns NULL if one
-- of the keys is known: then nothing is written. A key has the index of its append, and its outcome.
CREATE OR REPLACE FUNCTION {schema}.append_each(
    locks bigint[], lock_exclusive boolean[],
    expected bigint[], streams text[], kinds integer[], ids uuid[], event_tags text[],
    event_metadata text[], payloads bytea[], tag_event integer[], tag_name text[],
    key_append integer[], key_name text[], key_digest uuid[], key_outcome text[]
) RETURNS bigint[] LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    held boolean;
    positions bigint[];
    heads bigint[];
BEGIN
    held := {schema}.lock_names(locks, lock_exclusive, false);
    IF key_name IS NOT NULL AND EXISTS (
        SELECT FROM {schema}.appends AS a WHERE a.key = ANY (key_name) AND '{schema}.{mark}'::regclass IS NOT NULL
    ) THEN
        RETURN NULL;
    END IF;
    held := {schema}.lock_position();
    WITH written AS (
        INSERT INTO {schema}.events (version, event_id, kind, stream, tags, metadata, payload)
        SELECT coalesce(h.version, 0) + 1, ids[i], kinds[i], streams[i], event_tags[i], event_metadata[i],
            payloads[i]
        FROM (SELECT generate_series(1, cardinality(streams)) AS i) AS s
        LEFT JOIN LATERAL (
            -- Skip versions before the expected one: they are irrelevant and may be many.
            SELECT e.version FROM {schema}.events AS e WHERE e.stream = streams[i] AND e.version >= expected[i]
            ORDER BY e.version DESC LIMIT 1
        ) AS h ON true
        WHERE '{schema}.{mark}'::regclass IS NOT NULL AND coalesce(h.version, 0) < {archived} AND (
            coalesce(h.version, 0) = expected[i]
            -- Any, or any but 0.
            OR expected[i] < 0 AND coalesce(h.version, 0) >= -1 - expected[i]
        )
        RETURNING position
    )
    SELECT array_agg(w.position) INTO positions FROM written AS w;
    IF cardinality(positions) IS DISTINCT FROM cardinality(streams) OR 0 > ANY (expected) THEN
        -- Some appends conflict or accept any version: read the current versions of all streams.
        SELECT array_agg(CASE WHEN h.written THEN h.position END ORDER BY s.n),
            array_agg(coalesce(h.version - h.written::integer, 0) ORDER BY s.n)
        INTO positions, heads
        FROM unnest(streams) WITH ORDINALITY AS s(name, n)
        LEFT JOIN LATERAL (
            SELECT e.version, e.position, coalesce(e.position = ANY (positions), false) AS written
            FROM {schema}.events AS e WHERE e.stream = s.name ORDER BY e.version DESC LIMIT 1
        ) AS h ON true
        WHERE '{schema}.{mark}'::regclass IS NOT NULL;
    END IF;

    IF cardinality(tag_event) > 0 THEN
        INSERT INTO {schema}.tags (tag, position, kind)
        SELECT t.name, positions[t.event], kinds[t.event]
        FROM unnest(tag_event, tag_name) AS t(event, name)
        WHERE positions[t.event] IS NOT NULL AND '{schema}.{mark}'::regclass IS NOT NULL;
    END IF;
    IF key_name IS NOT NULL THEN
        INSERT INTO {schema}.appends (key, digest, position, streams)
        SELECT key_name[i], key_digest[i], positions[key_append[i]], key_outcome[i]
        FROM generate_series(1, cardinality(key_name)) AS i
        WHERE positions[key_append[i]] IS NOT NULL AND '{schema}.{mark}'::regclass IS NOT NULL;
    END IF;
    RETURN positions || coalesce(heads, expected);
END
$$;

-- Appends events to one stream, with the same locks and checks in the same order as append_batch, in as few statements as
-- possible. Returns the last position, or NULL for a conflict, and the stream's version before. Returns NULL if one of
-- the keys is known: then nothing is written. A key has 1, or 0 if it has no events, and its outcome.
CREATE OR REPLACE FUNCTION {schema}.append_stream(
    locks bigint[], lock_exclusive boolean[],
    expected bigint, name text, kinds integer[], ids uuid[], event_tags text[], event_metadata text[],
    payloads bytea[], tag_event integer[], tag_name text[],
    key_append integer[], key_name text[], key_digest uuid[], key_outcome text[]
) RETURNS bigint[] LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    held boolean;
    head bigint;
BEGIN
    held := {schema}.lock_names(locks, lock_exclusive, false);
    IF key_name IS NOT NULL AND EXISTS (
        SELECT FROM {schema}.appends AS a WHERE a.key = ANY (key_name) AND '{schema}.{mark}'::regclass IS NOT NULL
    ) THEN
        RETURN NULL;
    END IF;
    head := coalesce(
        (
            SELECT e.version FROM {schema}.events AS e WHERE e.stream = name AND '{schema}.{mark}'::regclass IS NOT NULL
            ORDER BY e.version DESC LIMIT 1
        ), 0
    );
    IF head >= {archived} OR expected >= 0 AND expected <> head OR expected = -2 AND head = 0 THEN
        RETURN ARRAY[NULL, head];
    END IF;

    held := {schema}.lock_position();
    INSERT INTO {schema}.events (version, event_id, kind, stream, tags, metadata, payload)
    SELECT head + i, ids[i], kinds[i], name, event_tags[i], event_metadata[i], payloads[i]
    FROM generate_series(1, cardinality(ids)) AS i
    WHERE '{schema}.{mark}'::regclass IS NOT NULL;
    IF cardinality(tag_event) > 0 THEN
        INSERT INTO {schema}.tags (tag, position, kind)
        SELECT t.name, e.position, e.kind
        FROM unnest(tag_event, tag_name) AS t(event, name)
        JOIN {schema}.events AS e ON e.stream = append_stream.name AND e.version = head + t.event
        WHERE '{schema}.{mark}'::regclass IS NOT NULL;
    END IF;
    IF key_name IS NOT NULL THEN
        INSERT INTO {schema}.appends (key, digest, position, streams)
        -- The position of an outcome is that of the last event of the whole append.
        SELECT key_name[i], key_digest[i],
            CASE WHEN key_append[i] > 0 THEN currval('{schema}.position_sequence') ELSE 0 END, key_outcome[i]
        FROM generate_series(1, cardinality(key_name)) AS i
        WHERE '{schema}.{mark}'::regclass IS NOT NULL;
    END IF;
    RETURN ARRAY[currval('{schema}.position_sequence'), head];
END
$$;

-- The type of a parameter that locks a stream, for a statement that appends one event. The server checks parameters
-- before it takes the statement's snapshot. So all locks of the append are held by then, in their order, and the
-- statement sees the commits of the previous holders. No function is needed around the statement.
DO $$ BEGIN
    IF to_regtype('{schema}.locked_stream') IS NULL THEN
        CREATE DOMAIN {schema}.locked_stream AS bigint CHECK (
            CASE WHEN {schema}.lock_gate() THEN
                CASE WHEN pg_advisory_xact_lock(VALUE) IS NOT NULL THEN {schema}.lock_position() END
            END
        );
    END IF;
END $$;

-- Closes a stream with this mark, see events. Returns the stream's version before, or NULL if there is no such stream.
CREATE OR REPLACE FUNCTION {schema}.close_stream(name text, lock bigint, mark bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    head bigint;
    last bigint;
BEGIN
    PERFORM {schema}.lock_names(ARRAY[lock], ARRAY[true], false);
    SELECT e.version, abs(e.position) INTO head, last FROM {schema}.events AS e
    WHERE e.stream = name AND '{schema}.{mark}'::regclass IS NOT NULL ORDER BY e.version DESC LIMIT 1;
    IF head IS NULL OR head >= mark THEN
        RETURN head;
    END IF;
    IF mark = {erased} THEN
        PERFORM set_config('recount.erasing', 'yes', true);
        DELETE FROM {schema}.tags AS t USING {schema}.events AS e,
            LATERAL jsonb_array_elements_text(e.tags::jsonb) AS g(tag)
        WHERE e.stream = name AND e.tags IS NOT NULL AND t.tag = g.tag AND t.position = e.position
            AND '{schema}.{mark}'::regclass IS NOT NULL;
        DELETE FROM {schema}.events AS e WHERE e.stream = name AND '{schema}.{mark}'::regclass IS NOT NULL;
        PERFORM set_config('recount.erasing', '', true);
    END IF;
    INSERT INTO {schema}.events (position, version, recorded_at, event_id, kind, stream, payload)
    SELECT -last, mark, clock_timestamp(), gen_random_uuid(), 0, name, '' WHERE '{schema}.{mark}'::regclass IS NOT NULL;
    RETURN head;
END
$$;

CREATE OR REPLACE FUNCTION {schema}.now_us() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
$$;

-- Writes entries of the state, or deletes those without a value: all of them, or none if one is not as expected.
-- Expected: -1 any, -2 absent, else the revision. A mismatch is the number of the first entry that is not as expected, with
-- its revision. The locks are taken in one order, so that overlapping calls never wait for each other in a circle.
CREATE OR REPLACE FUNCTION {schema}.write_state(
    names text[], locks bigint[], new_values bytea[], expected bigint[], times_to_live bigint[],
    OUT mismatch bigint, OUT revisions bigint[]
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    now_at bigint;
    found bigint;
    new_revision bigint;
    lock bigint;
BEGIN
    FOR lock IN SELECT DISTINCT l FROM unnest(locks) AS l ORDER BY l LOOP
        PERFORM pg_advisory_xact_lock(lock);
    END LOOP;
    now_at := {schema}.now_us();
    SELECT array_agg(s.revision ORDER BY n.number) INTO revisions
    FROM unnest(names) WITH ORDINALITY AS n (name, number) LEFT JOIN {schema}.state AS s
        ON s.key = n.name AND (s.expires_at IS NULL OR s.expires_at > now_at)
    WHERE '{schema}.{mark}'::regclass IS NOT NULL;
    FOR i IN 1 .. cardinality(names) LOOP
        found := revisions[i];
        IF NOT (expected[i] = -1 OR (expected[i] = -2 AND found IS NULL) OR coalesce(expected[i] = found, false)) THEN
            mismatch := i;
            revisions := ARRAY[found];
            RETURN;
        END IF;
    END LOOP;
    FOR i IN 1 .. cardinality(names) LOOP
        found := revisions[i];
        IF new_values[i] IS NULL THEN
            DELETE FROM {schema}.state AS s WHERE s.key = names[i] AND '{schema}.{mark}'::regclass IS NOT NULL;
            CONTINUE;
        END IF;
        new_revision := nextval('{schema}.revision_sequence');
        IF new_revision <= found THEN
            RAISE EXCEPTION 'the sequence % is behind the state, whose entry % has the revision %',
                '{schema}.revision_sequence', names[i], found USING ERRCODE = 'data_corrupted';
        END IF;
        INSERT INTO {schema}.state (key, value, revision, expires_at)
        SELECT names[i], new_values[i], new_revision, now_at + times_to_live[i]
        WHERE '{schema}.{mark}'::regclass IS NOT NULL
        ON CONFLICT (key) DO UPDATE
        SET value = excluded.value, revision = excluded.revision, expires_at = excluded.expires_at;
        revisions[i] := new_revision;
    END LOOP;
END
$$;

-- Fails unless there is room for an event of 64 KiB, which is written and rolled back. A smaller one could fit into an
-- existing page of a full disk.
-- Also fails if another table is missing or not writable.
CREATE OR REPLACE FUNCTION {schema}.prove_room() RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    INSERT INTO {schema}.events (position, version, event_id, kind, stream, payload)
    SELECT -9223372036854775807, 0, gen_random_uuid(), 0, '', string_agg(uuid_send(gen_random_uuid()), '')
    FROM generate_series(1, 4096) WHERE '{schema}.{mark}'::regclass IS NOT NULL;
    INSERT INTO {schema}.tags (tag, position, kind) VALUES ('', -9223372036854775807, 0);
    INSERT INTO {schema}.appends (key, digest, position, streams) VALUES ('', gen_random_uuid(), 0, '[]');
    INSERT INTO {schema}.state (key, value, revision) VALUES ('', '', 0);
    PERFORM FROM {schema}.kinds LIMIT 1;
    RAISE EXCEPTION 'there is room' USING ERRCODE = 'RC001';
EXCEPTION WHEN SQLSTATE 'RC001' THEN
    RETURN true;
END
$$;
