SELECT stream, version FROM {schema}.events WHERE stream = ANY ($1) AND version >= 9223372036854775806
