SELECT {schema}.lock_names($1, $2, $3)
WHERE {this}
