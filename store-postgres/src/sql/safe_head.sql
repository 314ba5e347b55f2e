SELECT {schema}.safe_head()
