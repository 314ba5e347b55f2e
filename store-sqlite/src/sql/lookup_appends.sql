SELECT 1, key, digest, outcome FROM idempotency WHERE key IN (VALUES {rows})
