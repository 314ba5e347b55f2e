CREATE TABLE IF NOT EXISTS {schema}.checkpoints (
    projection text COLLATE "C" PRIMARY KEY,
    position bigint NOT NULL,
    store uuid,
    event uuid,
    filter_id uuid,
    filter text
)
