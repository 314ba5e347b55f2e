SELECT to_regclass('{schema}.checkpoints') IS NOT NULL
