DELETE FROM {schema}.state WHERE expires_at <= {schema}.now_us()
