SELECT count(*) FROM {schema}.kinds
