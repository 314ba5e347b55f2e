INSERT INTO idempotency (key, digest, outcome)
SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL
