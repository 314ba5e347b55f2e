-- Read the rows before the sequences: a sequence only grows.
WITH rows AS MATERIALIZED (
    SELECT greatest((SELECT max(position) FROM {schema}.events), -(SELECT min(position) FROM {schema}.events), 0) AS position,
        coalesce((SELECT max(revision) FROM {schema}.state), 0) AS revision,
        coalesce((SELECT max(kind) FROM {schema}.kinds), 0)::bigint AS kind
)
SELECT 'position_sequence', s.last_value - 1 + s.is_called::integer, r.position
FROM rows AS r, {schema}.position_sequence AS s
UNION ALL
SELECT 'revision_sequence', s.last_value - 1 + s.is_called::integer, r.revision
FROM rows AS r, {schema}.revision_sequence AS s
UNION ALL
SELECT 'kinds_kind_seq', s.last_value - 1 + s.is_called::integer, r.kind
FROM rows AS r, {schema}.kinds_kind_seq AS s
