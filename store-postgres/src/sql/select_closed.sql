SELECT stream, version FROM {schema}.events WHERE stream = ANY ($1) AND version >= {archived} AND {this}
