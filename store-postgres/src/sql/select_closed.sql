SELECT stream, state FROM {schema}.closed_streams WHERE stream = ANY ($1)
