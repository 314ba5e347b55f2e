SELECT {schema}.lock_position()
