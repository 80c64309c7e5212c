//! Who changes what releases are booked on leaves a note, in the same transaction: a server that recalls what it read sees
//! by the notes whether that still holds (`recall`).

use super::script::Script;
use crate::sql::dialect::Dialect;

pub(super) const MIGRATION: Script = Script { name: "m0011_facts", statements: script };

/// What releases are booked on. That nobody counts for somebody yet is a fact, too.
const TABLES: [&str; 4] = ["recipients", "revenue_models", "policies", "clock"];

fn script(dialect: Dialect) -> String {
    match dialect {
        Dialect::Sqlite => {
            let trigger = |table, event: &str| {
                let word = event.to_lowercase();
                format!(
                    "CREATE TRIGGER {table}_are_facts_{word} AFTER {event} ON {table}
                       BEGIN UPDATE fact_notes SET changes = changes + 1; END;\n"
                )
            };
            let of_table = |table| ["INSERT", "UPDATE", "DELETE"].map(|event| trigger(table, event)).concat();
            let triggers: Vec<String> = TABLES.into_iter().map(of_table).collect();
            SQLITE_NOTES.to_owned() + &triggers.concat() + &trigger("counters", "INSERT")
        }
        Dialect::Postgres => {
            let trigger = |table| {
                format!(
                    "CREATE TRIGGER {table}_are_facts AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table}
                       FOR EACH STATEMENT EXECUTE FUNCTION note_facts();\n"
                )
            };
            let triggers: Vec<String> = TABLES.into_iter().map(trigger).collect();
            POSTGRES_NOTES.to_owned() + &triggers.concat()
        }
    }
}

/// One writes at a time: a moment is how many changes there were.
const SQLITE_NOTES: &str = "
CREATE TABLE fact_notes (
  id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
  changes INTEGER NOT NULL
) STRICT;
INSERT INTO fact_notes (id, changes) VALUES (1, 0);
";

/// A note says of which server and transaction it is, and which transaction was then the oldest under way. One whose
/// transaction had ended ten minutes ago, when another was written, is of no use any more: nothing is recalled for so
/// long. Neither is one of before the server was started. Whoever writes one removes a few of those, and waits for nobody.
///
/// A moment is what a snapshot could see, when that was, and which server it was: after a failover transactions have other
/// names. After a crash a name may be given again that nothing on the disk had; such a note is younger than the moment.
///
/// These are functions of the owner, so that the service needs no right to the notes.
const POSTGRES_NOTES: &str = "
CREATE FUNCTION this_server() RETURNS text LANGUAGE sql STABLE AS $$
  SELECT extract(epoch FROM pg_postmaster_start_time())::text
$$;
CREATE TABLE fact_notes (
  server text NOT NULL,
  changed_by xid8 NOT NULL DEFAULT pg_current_xact_id(),
  oldest xid8 NOT NULL DEFAULT pg_snapshot_xmin(pg_current_snapshot()),
  noted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX fact_notes_by_transaction ON fact_notes (changed_by);
CREATE INDEX fact_notes_by_time ON fact_notes (noted_at);

CREATE FUNCTION leave_note() RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
  INSERT INTO fact_notes (server) VALUES (this_server());
  DELETE FROM fact_notes WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM fact_notes
    WHERE server <> this_server()
       OR changed_by < (SELECT oldest FROM fact_notes
                        WHERE server = this_server() AND noted_at < clock_timestamp() - interval '10 minutes'
                        ORDER BY noted_at DESC LIMIT 1)
    ORDER BY changed_by LIMIT 8 FOR UPDATE SKIP LOCKED));
$$;
CREATE FUNCTION note_facts() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  PERFORM leave_note();
  RETURN NULL;
END $$;
CREATE FUNCTION note_new_facts() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  IF EXISTS (SELECT FROM fresh) THEN
    PERFORM leave_note();
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER counters_are_facts AFTER INSERT ON counters
  REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION note_new_facts();

CREATE FUNCTION this_moment() RETURNS text LANGUAGE sql STABLE AS $$
  SELECT concat_ws('@', pg_current_snapshot(), extract(epoch FROM clock_timestamp()), this_server())
$$;
-- The places of those moments since which a fact was changed.
CREATE FUNCTION moments_gone(moments text[]) RETURNS bigint[] LANGUAGE plpgsql STABLE SECURITY DEFINER
  SET search_path FROM CURRENT SET enable_seqscan = off AS $$
BEGIN
  RETURN ARRAY(
    SELECT asked.place
    FROM (SELECT place, split_part(moment, '@', 1)::pg_snapshot AS seen,
                 to_timestamp(split_part(moment, '@', 2)::double precision) AS seen_at,
                 split_part(moment, '@', 3) AS server
          FROM UNNEST(moments) WITH ORDINALITY AS each (moment, place)) AS asked
    WHERE asked.server <> this_server()
       OR EXISTS (SELECT FROM fact_notes
                  WHERE changed_by >= pg_snapshot_xmin(seen) AND NOT pg_visible_in_snapshot(changed_by, seen)
                    AND fact_notes.server = asked.server)
       OR EXISTS (SELECT FROM fact_notes WHERE noted_at > seen_at AND fact_notes.server = asked.server));
END $$;
";
