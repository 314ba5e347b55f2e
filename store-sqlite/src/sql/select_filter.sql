SELECT filter FROM checkpoints WHERE projection = ?1
