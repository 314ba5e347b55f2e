SELECT
    (SELECT application_id FROM pragma_application_id),
    (SELECT user_version FROM pragma_user_version),
    (SELECT count(*) FROM sqlite_schema)
        * ((SELECT count(*) FROM pragma_table_info('checkpoints') WHERE name IN ('projection', 'position', 'store', 'event')) < 4)
