INSERT OR REPLACE INTO health (single, room) VALUES (1, randomblob(?1))
