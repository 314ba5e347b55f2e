SELECT greatest(
    coalesce((SELECT max(position) FROM {schema}.events WHERE position <= $1), 0),
    coalesce((SELECT max(erased_position) FROM {schema}.closed_streams WHERE state = 2 AND erased_position <= $1), 0)
)
