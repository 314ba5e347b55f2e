SELECT value, revision FROM state WHERE key = ?1 AND (expires_at IS NULL OR expires_at > ?2)
