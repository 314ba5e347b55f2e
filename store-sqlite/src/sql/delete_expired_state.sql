DELETE FROM state WHERE rowid IN (SELECT rowid FROM state WHERE expires_at <= ? ORDER BY expires_at LIMIT 64)
