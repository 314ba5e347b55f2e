INSERT OR IGNORE INTO tags (tag, position, kind)
SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL
