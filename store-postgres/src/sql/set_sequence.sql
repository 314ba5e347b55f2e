SELECT setval(format('{schema}.%s', $1)::regclass, $2)
