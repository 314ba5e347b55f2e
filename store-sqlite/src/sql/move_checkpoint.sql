UPDATE checkpoints SET position = ?3 WHERE projection = ?1 AND position = ?2
