//! The steps of `cargo xtask test`, in the order in which they run.

/// One row of the summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The sources are formatted.
    Format,
    /// Clippy has nothing to say.
    Clippy,
    /// One debug build that serves every later step.
    Build,
    /// A PostgreSQL server for the tests.
    Postgres,
    /// Every cargo test.
    Test,
    /// Stripe's own SDK finds nothing to say against the rail and its simulator.
    Stripe,
    /// The specification is true on SQLite.
    Schemathesis,
    /// The specification is true on PostgreSQL.
    SchemathesisPostgres,
    /// A client generated from the specification compiles and works.
    Client,
}

impl Step {
    /// Every step, cheap ones first, so that a slip of the pen costs seconds.
    pub const ALL: [Self; 9] = [
        Self::Format,
        Self::Clippy,
        Self::Build,
        Self::Postgres,
        Self::Test,
        Self::Stripe,
        Self::Schemathesis,
        Self::SchemathesisPostgres,
        Self::Client,
    ];

    /// The word for `--only` and for the summary.
    pub fn name(self) -> &'static str {
        match self {
            Self::Format => "fmt",
            Self::Clippy => "clippy",
            Self::Build => "build",
            Self::Postgres => "postgres",
            Self::Test => "test",
            Self::Stripe => "stripe",
            Self::Schemathesis => "schemathesis",
            Self::SchemathesisPostgres => "schemathesis-postgres",
            Self::Client => "client",
        }
    }

    /// What is known once the step has passed.
    pub fn promise(self) -> &'static str {
        match self {
            Self::Format => "the sources are formatted",
            Self::Clippy => "clippy has nothing to say",
            Self::Build => "the workspace builds (debug)",
            Self::Postgres => "a PostgreSQL server answers",
            Self::Test => "every cargo test passes",
            Self::Stripe => "Stripe's own SDK agrees with the rail and its simulator",
            Self::Schemathesis => "the API keeps its specification, on SQLite",
            Self::SchemathesisPostgres => "the API keeps its specification, on PostgreSQL",
            Self::Client => "a generated TypeScript client compiles and works",
        }
    }

    fn needs(self) -> &'static [Self] {
        match self {
            Self::Format | Self::Clippy | Self::Build | Self::Postgres => &[],
            Self::Test | Self::SchemathesisPostgres => &[Self::Build, Self::Postgres],
            Self::Stripe | Self::Schemathesis | Self::Client => &[Self::Build],
        }
    }

    /// The step of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.name() == name)
    }

    /// The steps to run for `only`, in order; all of them when nothing was named.
    pub fn with_needs(only: &[Self]) -> Vec<Self> {
        Self::ALL
            .into_iter()
            .filter(|step| {
                only.is_empty() || only.contains(step) || only.iter().any(|named| named.needs().contains(step))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(only: &[Step], expected: &str) {
        let names: Vec<_> = Step::with_needs(only).iter().map(|s| s.name()).collect();
        assert_eq!(names.join(" "), expected);
    }

    #[test]
    fn a_step_brings_what_it_needs_in_order() {
        check(&[Step::Format], "fmt");
        check(&[Step::Client], "build client");
        check(&[Step::Client, Step::Test], "build postgres test client");
        check(&[], "fmt clippy build postgres test stripe schemathesis schemathesis-postgres client");
    }

    #[test]
    fn needs_have_no_needs_of_their_own() {
        for step in Step::ALL {
            for need in step.needs() {
                assert!(need.needs().is_empty(), "{}", need.name());
            }
        }
    }

    #[test]
    fn every_step_is_found_by_its_name() {
        for step in Step::ALL {
            assert_eq!(Step::named(step.name()), Some(step));
        }
    }
}
