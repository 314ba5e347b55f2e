UPDATE streams SET state = 1 WHERE id = ?1
