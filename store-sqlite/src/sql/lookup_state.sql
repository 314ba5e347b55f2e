SELECT 2, key, revision, expires_at FROM state WHERE key IN (VALUES {rows})
