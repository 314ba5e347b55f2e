DELETE FROM tags WHERE (tag, position) IN (
    SELECT tag.value, e.position FROM events AS e CROSS JOIN json_each(e.tags) AS tag WHERE e.stream = ?1 AND e.tags IS NOT NULL
)
