SELECT filter FROM {schema}.checkpoints WHERE projection = $1 AND {this}
