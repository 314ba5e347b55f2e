SELECT digest, position, streams::text FROM {schema}.appends WHERE key = $1 AND {this}
