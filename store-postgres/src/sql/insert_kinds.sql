INSERT INTO {schema}.kinds (category, type)
SELECT DISTINCT n.category COLLATE "C", n.type COLLATE "C" FROM unnest($1::text[], $2::text[]) AS n(category, type)
WHERE NOT EXISTS (SELECT 1 FROM {schema}.kinds AS k WHERE k.category = n.category AND k.type = n.type)
ORDER BY 1, 2
ON CONFLICT DO NOTHING
