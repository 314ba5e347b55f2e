SELECT safe, last, kinds FROM {schema}.head($1)
