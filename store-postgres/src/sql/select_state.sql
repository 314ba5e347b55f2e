SELECT value, revision FROM {schema}.state
WHERE {this} AND key = $1 AND (expires_at IS NULL OR expires_at > {schema}.now_us())
