SELECT s.n, coalesce(h.version, 0), coalesce(c.state, 0::smallint)
FROM unnest($1::text[]) WITH ORDINALITY AS s(name, n)
LEFT JOIN LATERAL (
    SELECT e.version FROM {schema}.events AS e WHERE e.stream = s.name ORDER BY e.version DESC LIMIT 1
) AS h ON true
LEFT JOIN LATERAL (SELECT x.state FROM {schema}.closed_streams AS x WHERE x.stream = s.name) AS c ON true
