UPDATE checkpoints SET position = ?6, store = ?7, event = ?8, filter_id = ?9
WHERE projection = ?1 AND position = ?2 AND store IS ?3 AND event IS ?4 AND filter_id IS ?5
