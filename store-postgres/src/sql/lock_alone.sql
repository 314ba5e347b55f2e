SELECT pg_advisory_xact_lock({gate_key}) WHERE {this}
