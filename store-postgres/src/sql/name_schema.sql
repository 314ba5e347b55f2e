UPDATE {schema}.store SET schema_name = $1
