SELECT kind, category, type FROM {schema}.kinds
