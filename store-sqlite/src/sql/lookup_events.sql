SELECT event_id FROM events WHERE event_id IN (VALUES {rows})
