SELECT position, store, event FROM checkpoints WHERE projection = ?1
