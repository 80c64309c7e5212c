//! A schema says which versions of the service may work with it.
//!
//! A step that only adds says nothing: a version that does not know it goes on. A step that takes something away adds
//! the name of the step that brought what replaces it: a version that does not know that one does not start.

use super::script::{Script, spell};
use crate::sql::dialect::Dialect;

pub(super) const MIGRATION: Script = Script { name: "m0007_needs", statements: script };

fn script(dialect: Dialect) -> String {
    spell(dialect, TABLE)
}

const TABLE: &str = "
CREATE TABLE schema_needs (
  migration {text} NOT NULL,
  CONSTRAINT schema_needs_pkey PRIMARY KEY (migration)
) {table};
";
