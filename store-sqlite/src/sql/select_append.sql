SELECT outcome FROM idempotency WHERE key = ?1
