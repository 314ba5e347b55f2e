INSERT INTO idempotency (key, digest, outcome, recorded_at)
SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL
