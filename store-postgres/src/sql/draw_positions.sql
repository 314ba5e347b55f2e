SELECT ARRAY(SELECT nextval('{schema}.position_sequence') FROM generate_series(1, $1))
WHERE {this}
