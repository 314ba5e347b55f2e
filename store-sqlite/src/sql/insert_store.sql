INSERT INTO store (single, id) VALUES (1, ?1)
