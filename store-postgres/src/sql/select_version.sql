SELECT version FROM {schema}.migrations ORDER BY version DESC LIMIT 1
