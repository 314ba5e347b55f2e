SELECT version FROM {schema}.events WHERE stream = $1 AND {this} ORDER BY version DESC LIMIT 1
