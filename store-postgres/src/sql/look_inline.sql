-- The checkpoints are locked for the transaction, and set_config comes behind the look at what was set before.
WITH locked AS MATERIALIZED (
    SELECT c.projection, c.position, c.filter_id FROM {schema}.checkpoints AS c WHERE c.projection = ANY ($1) FOR UPDATE
)
SELECT greatest((SELECT e.position FROM {schema}.events AS e ORDER BY e.position DESC LIMIT 1), 0),
    (SELECT count(*) FROM {schema}.kinds), pg_current_xact_id()::text, b.timeout,
    ARRAY(
        SELECT coalesce(l.position, 0) FROM unnest($1) WITH ORDINALITY AS p(name, n)
        LEFT JOIN locked AS l ON l.projection = p.name ORDER BY p.n
    ),
    ARRAY(
        SELECT l.filter_id FROM unnest($1) WITH ORDINALITY AS p(name, n)
        LEFT JOIN locked AS l ON l.projection = p.name ORDER BY p.n
    ),
    set_config('statement_timeout', $2, b.timeout IS NOT NULL)
FROM (SELECT current_setting('statement_timeout') AS timeout OFFSET 0) AS b
WHERE {this}
