INSERT INTO erasing (stream) VALUES (?1)
