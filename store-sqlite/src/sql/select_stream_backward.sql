SELECT e.position, e.version, e.kind, e.recorded_at, e.event_id, e.tags, e.metadata, e.payload, s.name
FROM streams AS s
CROSS JOIN events AS e ON e.stream = s.id
WHERE s.category = ?1 AND s.name = ?2 AND e.version >= ?3 AND e.version <= ?4
ORDER BY e.version DESC
LIMIT ?5
