-- An expired entry that is being written is passed over, so that this never waits for a batch of writes, nor a batch for this.
DELETE FROM {schema}.state WHERE {this} AND key = ANY (ARRAY(
    SELECT key FROM {schema}.state WHERE {this} AND expires_at <= {schema}.now_us() FOR UPDATE SKIP LOCKED
)) AND expires_at <= {schema}.now_us()
