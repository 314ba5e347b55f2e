SELECT NULL, c.state, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM {schema}.closed_streams AS c WHERE c.stream = $4
