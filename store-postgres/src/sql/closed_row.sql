SELECT NULL::bigint, c.state::bigint, NULL::integer, NULL::timestamptz, NULL::uuid, NULL::text COLLATE "C",
    NULL::text COLLATE "C", NULL::text COLLATE "C", NULL::bigint, NULL::bytea
FROM {schema}.closed_streams AS c WHERE c.stream = $4
