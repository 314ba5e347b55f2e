DO $install$ BEGIN
    EXECUTE replace(
        $functions$
{functions}
        $functions$, '{mark}', (SELECT 'store_' || replace(id::text, '-', '') FROM {schema}.store)
    );
END $install$
