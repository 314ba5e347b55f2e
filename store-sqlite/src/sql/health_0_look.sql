SELECT 1 FROM store, streams, kinds, events, tags, idempotency, state, counters LIMIT 0
