UPDATE checkpoints SET position = ?5, store = ?6, event = ?7
WHERE projection = ?1 AND position = ?2 AND store IS ?3 AND event IS ?4
