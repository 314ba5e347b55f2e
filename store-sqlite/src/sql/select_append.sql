SELECT digest, outcome FROM idempotency WHERE key = ?1
