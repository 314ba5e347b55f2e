COPY {schema}.tags (tag, position, kind) FROM STDIN (FORMAT binary)
