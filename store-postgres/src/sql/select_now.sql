SELECT {schema}.now_us() WHERE {this}
