SELECT position, store, event, filter_id FROM checkpoints WHERE projection = ?1
