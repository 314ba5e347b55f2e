SELECT {schema}.prove_room() WHERE {this}
