SELECT coalesce(
    (SELECT state FROM {schema}.closed_streams WHERE stream = $4),
    (SELECT 0::smallint FROM {schema}.events WHERE stream = $4 LIMIT 1)
)
