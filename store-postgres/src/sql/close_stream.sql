SELECT {schema}.close_stream($1, $2, $3)
WHERE {this}
