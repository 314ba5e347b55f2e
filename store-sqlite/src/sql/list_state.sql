SELECT value, revision, key FROM state
WHERE key >= ?1 AND key <= ?2 AND key > ?3 AND (expires_at IS NULL OR expires_at > ?4)
ORDER BY key LIMIT ?5
