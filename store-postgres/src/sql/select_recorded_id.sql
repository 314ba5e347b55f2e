SELECT event_id FROM {schema}.events WHERE event_id = ANY ($1) AND {this} LIMIT 1
