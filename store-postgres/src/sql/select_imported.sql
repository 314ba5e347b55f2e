SELECT event_id, stream, (extract(epoch FROM recorded_at) * 1000000)::bigint FROM {schema}.events
WHERE event_id = ANY ($1) AND {this}
