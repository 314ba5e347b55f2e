SELECT position, store, event, filter_id FROM {schema}.checkpoints WHERE projection = $1 AND {this}
