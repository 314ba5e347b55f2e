-- Keys that another call is forgetting are passed over, so that calls don't wait for each other.
WITH forgotten AS (
    DELETE FROM {schema}.appends WHERE {this} AND key = ANY (ARRAY(
        SELECT key FROM {schema}.appends
        WHERE {this} AND appended_at <= clock_timestamp() - $1 * interval '1 microsecond'
        ORDER BY appended_at LIMIT $2 FOR UPDATE SKIP LOCKED
    ))
    RETURNING 1
)
SELECT count(*) FROM forgotten
