INSERT INTO {schema}.migrations (version) VALUES ($1)
