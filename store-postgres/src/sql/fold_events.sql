SELECT e.version, e.kind, e.payload FROM {schema}.events AS e
WHERE e.stream = $1 AND {this}