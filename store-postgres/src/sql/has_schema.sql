SELECT to_regclass('{schema}.migrations') IS NOT NULL
