SELECT (SELECT e.event_id FROM {schema}.events AS e WHERE e.position = $1),
    EXISTS (SELECT FROM {schema}.events AS m WHERE m.position <= -$1 AND m.version = {erased})
WHERE {this}
