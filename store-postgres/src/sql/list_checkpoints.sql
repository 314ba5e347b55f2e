SELECT position, store, event, filter_id, projection, filter FROM {schema}.checkpoints WHERE {this} ORDER BY projection
