SELECT coalesce(
    (SELECT state FROM {schema}.closed_streams WHERE stream = $1),
    (SELECT 0::smallint FROM {schema}.events WHERE stream = $1 LIMIT 1)
)
