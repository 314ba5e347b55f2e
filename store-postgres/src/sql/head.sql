SELECT last, kinds, server FROM {schema}.head($1)
WHERE {this}
