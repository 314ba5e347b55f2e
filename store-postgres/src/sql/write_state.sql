SELECT mismatch, revisions FROM {schema}.write_state($1, $2, $3, $4, $5)
WHERE {this}
