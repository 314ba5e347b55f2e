SELECT position, store, event, filter_id, projection, filter FROM checkpoints ORDER BY projection
