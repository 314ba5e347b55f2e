UPDATE {schema}.health SET checked_at = clock_timestamp() WHERE {this}
