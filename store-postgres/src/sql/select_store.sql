SELECT id, schema_name FROM {schema}.store
