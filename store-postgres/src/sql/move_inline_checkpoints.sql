-- A row that was deleted meanwhile is made anew.
INSERT INTO {schema}.checkpoints AS c (projection, position, store, event, filter_id)
SELECT m.name, m.position, (SELECT s.id FROM {schema}.store AS s),
    (SELECT e.event_id FROM {schema}.events AS e WHERE e.position = m.position), m.filter
FROM unnest($1, $2, $3, $4) AS m(name, before, position, filter)
WHERE pg_current_xact_id()::text = $5 AND {this} AND coalesce(
    (SELECT k.position FROM {schema}.checkpoints AS k WHERE k.projection = m.name), 0
) = m.before
ON CONFLICT (projection) DO UPDATE
SET position = excluded.position, store = excluded.store, event = excluded.event, filter_id = excluded.filter_id
WHERE c.position < excluded.position
RETURNING c.projection
