SELECT value, revision, key FROM {schema}.state
WHERE {this} AND key >= $1 AND key <= $2 AND key > $3 AND (expires_at IS NULL OR expires_at > {schema}.now_us())
ORDER BY key LIMIT $4
