SELECT version FROM {schema}.events WHERE stream = $1 ORDER BY version DESC LIMIT 1
