SELECT id, state FROM streams WHERE category = ?1 AND name = ?2
