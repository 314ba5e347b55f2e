DELETE FROM {schema}.state WHERE {this} AND expires_at <= {schema}.now_us()
