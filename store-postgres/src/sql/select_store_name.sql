SELECT schema_name FROM {schema}.store
