SELECT 1 FROM {schema}.events WHERE stream = $1 LIMIT 1
