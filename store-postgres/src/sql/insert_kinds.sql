INSERT INTO {schema}.kinds (category, type, schema_version)
SELECT DISTINCT n.category COLLATE "C", n.type COLLATE "C", n.schema_version
FROM unnest($1::text[], $2::text[], $3::bigint[]) AS n(category, type, schema_version)
WHERE {this} AND NOT EXISTS (
    SELECT 1 FROM {schema}.kinds AS k
    WHERE k.category = n.category AND k.type = n.type AND k.schema_version = n.schema_version
)
ORDER BY 1, 2, 3
ON CONFLICT (category, type, schema_version) DO NOTHING
