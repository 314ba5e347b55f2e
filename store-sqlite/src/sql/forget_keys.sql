DELETE FROM idempotency WHERE key IN (
    SELECT key FROM idempotency WHERE recorded_at <= ?1 ORDER BY recorded_at LIMIT ?2
)
