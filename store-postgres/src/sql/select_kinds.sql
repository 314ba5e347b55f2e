SELECT kind, category, type, schema_version FROM {schema}.kinds
