DELETE FROM state WHERE key IN (VALUES {rows})
