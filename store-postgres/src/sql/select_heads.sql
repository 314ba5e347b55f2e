SELECT s.name, coalesce(
    (SELECT e.version FROM {schema}.events AS e WHERE e.stream = s.name ORDER BY e.version DESC LIMIT 1), 0
)
FROM unnest($1::text[]) AS s(name)
WHERE {this}
