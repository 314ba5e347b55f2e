SELECT digest, position, streams FROM {schema}.appends WHERE key = $1 AND {this}
