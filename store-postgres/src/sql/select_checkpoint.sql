SELECT position, store, event FROM {schema}.checkpoints WHERE projection = $1 AND {this}
