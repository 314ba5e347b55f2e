INSERT INTO streams (id, category, name)
SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL
