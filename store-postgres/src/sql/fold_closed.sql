 LIMIT $4
) UNION ALL SELECT NULL::bigint, NULL::integer, c.state::bigint, NULL::bytea
FROM {schema}.closed_streams AS c WHERE c.stream = $1
