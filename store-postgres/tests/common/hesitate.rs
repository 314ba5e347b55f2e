//! Triggers that delay the database at critical points: around the insert, in the commit, and in a rollback.

// An event's actor selects the delay: one of these values, plus milliseconds.
pub const BEFORE_INSERT: u32 = 1_000;
pub const AFTER_INSERT: u32 = 2_000;
pub const IN_COMMIT: u32 = 3_000;
pub const THEN_UNDO: u32 = 4_000;

/// The triggers.
pub const HESITATE: &str = "
    CREATE FUNCTION asked(metadata text) RETURNS int LANGUAGE sql IMMUTABLE AS $$
        SELECT coalesce((metadata::json ->> 'actor')::int, 0)
    $$;
    CREATE FUNCTION hesitate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        PERFORM pg_sleep((asked(NEW.metadata) % 1000) / 1000.0);
        IF asked(NEW.metadata) >= 4000 THEN
            RAISE EXCEPTION 'undone, as asked for';
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER before_insert BEFORE INSERT ON recount.events FOR EACH ROW
        WHEN (asked(NEW.metadata) BETWEEN 1000 AND 1999) EXECUTE FUNCTION hesitate();
    CREATE TRIGGER after_insert AFTER INSERT ON recount.events FOR EACH ROW
        WHEN (asked(NEW.metadata) BETWEEN 2000 AND 2999) EXECUTE FUNCTION hesitate();
    CREATE CONSTRAINT TRIGGER in_commit AFTER INSERT ON recount.events DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
        WHEN (asked(NEW.metadata) >= 3000) EXECUTE FUNCTION hesitate();";
