SELECT event_id, position, version, stream FROM {schema}.events WHERE event_id = ANY ($1) AND position > $2 AND {this}
