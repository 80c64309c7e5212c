//! Small facts that every release and every payment depends on. Whatever of them is asked for at the same time is read
//! with one statement, of which each kind of fact is an arm.

use super::{
    Sql, bulk,
    dialect::Dialect,
    error::store,
    kept::Kept,
    queue::Queue,
    reads::{Found, Kind, Reader, Reads},
    rows::{Place, policy, recipient, revenue_model},
};
use app::{
    change::{PolicyVersion, Stored},
    ports::{
        StoreError,
        repository::{Basis, InForce, Moment, StoredCounter, Wanted},
    },
};
use async_trait::async_trait;
use domain::{
    counter::CounterKey,
    ids::{ProjectId, RecipientId},
    recipient::Recipient,
    revenue_model::ModelVersion,
    timestamp::Timestamp,
};
use sea_orm::{DbErr, FromQueryResult, Value};
use std::{collections::BTreeSet, time::Instant};

/// What somebody wants to know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ask {
    Now,
    /// What can be seen now, to be recalled.
    Moment,
    Policy,
    /// Of a project's versions the one in force at an instant, which is now if it is absent; else any.
    Model(ProjectId, Option<Timestamp>),
    Recipient(RecipientId),
    Counter(CounterKey),
}

/// What is known.
#[derive(Clone)]
pub(super) enum Fact {
    Now(Timestamp),
    Moment(Moment),
    Policy(PolicyVersion),
    /// With the next instant at which another version may come into force, if one waits.
    Model(Box<ModelVersion>, Option<Timestamp>),
    Recipient(Box<Stored<Recipient>>),
    Counter(StoredCounter),
}

/// SQLite takes so many values with one statement.
const VALUES_MAX: usize = 512;

#[async_trait]
impl Kind for Fact {
    type Key = Ask;
    type Value = Self;

    fn queue(reads: &Reads) -> &Queue<Reader<Self>> {
        &reads.facts
    }

    async fn read(sql: &Sql, kept: &mut Kept, wanted: BTreeSet<Ask>) -> Result<Found<Self>, StoreError> {
        let wanted: Vec<Ask> = wanted.into_iter().collect();
        let statement_max = match sql.dialect() {
            Dialect::Sqlite => VALUES_MAX,
            Dialect::Postgres => usize::MAX,
        };
        let mut found = Found::<Self>::new();
        for part in wanted.chunks(statement_max) {
            let wanted = Arms::of(part);
            let (text, values) = wanted.statement(sql.dialect()).map_err(store)?;
            let rows = kept.query_all(sql, sql.dialect().statement(text, values)).await.map_err(store)?;
            for row in rows {
                let row = Row::from_query_result(&row, "").map_err(store)?;
                if let Some((ask, fact)) = row.read(&wanted.models)? {
                    // Of several statements the first moment counts.
                    found.entry(ask).or_insert(fact);
                }
            }
        }
        Ok(found)
    }
}

/// What is wanted of each kind.
#[derive(Default)]
struct Arms<'a> {
    is_moment: bool,
    is_policy: bool,
    models: Vec<(&'a ProjectId, Option<Timestamp>)>,
    recipients: Vec<Value>,
    counters: Vec<Value>,
}

impl<'a> Arms<'a> {
    fn of(wanted: &'a [Ask]) -> Self {
        let mut arms = Self::default();
        for ask in wanted {
            match ask {
                // It is told anyway.
                Ask::Now => {}
                Ask::Moment => arms.is_moment = true,
                Ask::Policy => arms.is_policy = true,
                Ask::Model(project, as_of) => arms.models.push((project, *as_of)),
                Ask::Recipient(id) => arms.recipients.push(id.as_str().into()),
                Ask::Counter(key) => arms.counters.push(key.as_str().into()),
            }
        }
        arms
    }

    /// One statement, so one moment.
    fn statement(&self, dialect: Dialect) -> Result<(String, Vec<Value>), DbErr> {
        let mut with = format!("WITH moment AS MATERIALIZED (SELECT {} AS now)", dialect.now());
        let mut arms = vec![arm(NOW, &[("n1", "now")], "moment")];
        let mut values = Vec::new();
        if self.is_moment {
            let seen = match dialect {
                Dialect::Sqlite => "(SELECT CAST(changes AS TEXT) FROM fact_notes)",
                Dialect::Postgres => "this_moment()",
            };
            arms.push(arm(MOMENT, &[("t1", seen)], "moment"));
        }
        if self.is_policy {
            // The newest.
            let newest = "(SELECT * FROM policies ORDER BY version DESC LIMIT 1) AS newest";
            let columns = [("n1", "version"), ("t1", "spec"), ("t2", "set_by"), ("n2", "set_at")];
            arms.push(arm(POLICY, &columns, newest));
        }
        if !self.models.is_empty() {
            let row = |(place, (project, as_of)): (i64, &(&ProjectId, Option<Timestamp>))| {
                vec![place.into(), project.as_str().into(), Value::BigInt(as_of.map(Timestamp::unix_micros))]
            };
            let rows = of_few_lengths(dialect, (0..).zip(&self.models).map(row).collect());
            let source = bulk::source(dialect, rows)?;
            with += &format!(", wanted (place, project_id, as_of) AS ({})", source.sql);
            values.extend(source.values);
            arms.push(arm(MODEL, &MODEL_COLUMNS, MODEL_IN_FORCE));
        }
        for (what, columns, table, keys) in [
            (RECIPIENT, &RECIPIENT_COLUMNS[..], "recipients", &self.recipients),
            (COUNTER, &COUNTER_COLUMNS[..], "counters", &self.counters),
        ] {
            if !keys.is_empty() {
                let named = bulk::is_one_of(dialect, values.len(), "id", of_few_lengths(dialect, keys.clone()))?;
                values.extend(named.values);
                arms.push(arm(what, columns, &format!("{table} WHERE {}", named.sql)));
            }
        }
        Ok((format!("{with} {}", arms.join(" UNION ALL ")), values))
    }
}

/// `PostgreSQL` gets an array, however long it is.
fn of_few_lengths<T: Clone>(dialect: Dialect, all: Vec<T>) -> Vec<T> {
    match dialect {
        Dialect::Sqlite => bulk::padded(all),
        Dialect::Postgres => all,
    }
}

/// The columns of every arm, and their types: an arm says nothing in most of them.
const COLUMNS: [(&str, &str); 14] = [
    ("n1", "bigint"),
    ("n2", "bigint"),
    ("n3", "bigint"),
    ("n4", "bigint"),
    ("n5", "bigint"),
    ("n6", "bigint"),
    ("t1", "text"),
    ("t2", "text"),
    ("t3", "text"),
    ("t4", "text"),
    ("t5", "text"),
    ("t6", "text"),
    ("t7", "text"),
    ("bytes", "bytea"),
];

/// Which fact a row tells.
const NOW: i64 = 0;
const MOMENT: i64 = 1;
const POLICY: i64 = 2;
const MODEL: i64 = 3;
const RECIPIENT: i64 = 4;
const COUNTER: i64 = 5;

const MODEL_COLUMNS: [(&str, &str); 11] = [
    ("n1", "wanted.place"),
    ("t1", "version.project_id"),
    ("n2", "version.version"),
    ("t2", "version.status"),
    ("n3", "version.effective_from"),
    ("n4", "version.effective_to"),
    ("t3", "version.spec"),
    ("bytes", "version.hash"),
    ("t4", "version.created_by"),
    ("n5", "version.created_at"),
    (
        "n6",
        "(SELECT min(effective_from) FROM revenue_models AS coming WHERE coming.project_id = wanted.project_id
          AND status = 'active' AND effective_from > COALESCE(wanted.as_of, (SELECT now FROM moment)))",
    ),
];
const MODEL_IN_FORCE: &str = "wanted
  JOIN revenue_models AS version ON version.project_id = wanted.project_id AND version.version = COALESCE(
    (SELECT max(version) FROM revenue_models AS covering WHERE covering.project_id = wanted.project_id
     AND status = 'active' AND effective_from <= COALESCE(wanted.as_of, (SELECT now FROM moment))
     AND (effective_to IS NULL OR effective_to > COALESCE(wanted.as_of, (SELECT now FROM moment)))),
    (SELECT max(version) FROM revenue_models AS known WHERE known.project_id = wanted.project_id))";

const RECIPIENT_COLUMNS: [(&str, &str); 10] = [
    ("t1", "id"),
    ("t2", "status"),
    ("t3", "tax"),
    ("t4", "payout_minimums"),
    ("t5", "rail"),
    ("t6", "details"),
    ("t7", "destination_set_by"),
    ("n1", "created_at"),
    ("n2", "updated_at"),
    ("n3", "revision"),
];
const COUNTER_COLUMNS: [(&str, &str); 3] = [("t1", "id"), ("n1", "value"), ("n2", "revision")];

/// An arm of the statement: it says what `said` has, by column, and nothing in all others.
fn arm(what: i64, said: &[(&str, &str)], from: &str) -> String {
    let mut columns = format!("CAST({what} AS bigint) AS what");
    for (name, of) in COLUMNS {
        columns += &match said.iter().find(|(named, _)| *named == name) {
            Some((_, column)) => format!(", {column} AS {name}"),
            None => format!(", CAST(NULL AS {of}) AS {name}"),
        };
    }
    format!("SELECT {columns} FROM {from}")
}

#[derive(FromQueryResult)]
struct Row {
    what: i64,
    n1: Option<i64>,
    n2: Option<i64>,
    n3: Option<i64>,
    n4: Option<i64>,
    n5: Option<i64>,
    n6: Option<i64>,
    t1: Option<String>,
    t2: Option<String>,
    t3: Option<String>,
    t4: Option<String>,
    t5: Option<String>,
    t6: Option<String>,
    t7: Option<String>,
    bytes: Option<Vec<u8>>,
}

impl Row {
    /// What it tells, and who asked for that.
    fn read(self, models: &[(&ProjectId, Option<Timestamp>)]) -> Result<Option<(Ask, Fact)>, StoreError> {
        let Self { what, n1, n2, n3, n4, n5, n6, t1, t2, t3, t4, t5, t6, t7, bytes } = self;
        let place = Place { table: "the facts", id: &what };
        let number = |name, value| place.needed(name, value);
        let text = |name, value| place.needed(name, value);
        Ok(Some(match what {
            NOW => (Ask::Now, Fact::Now(Timestamp::from_unix_micros(number("n1", n1)?))),
            MOMENT => (Ask::Moment, Fact::Moment(Moment(text("t1", t1)?))),
            POLICY => {
                let row = policy::Model {
                    version: number("n1", n1)?,
                    spec: text("t1", t1)?,
                    set_by: text("t2", t2)?,
                    set_at: number("n2", n2)?,
                };
                (Ask::Policy, Fact::Policy(row.read()?))
            }
            MODEL => {
                let asked = usize::try_from(number("n1", n1)?).ok().and_then(|asked| models.get(asked));
                let Some((project, as_of)) = asked else { return Ok(None) };
                let row = revenue_model::Model {
                    project_id: text("t1", t1)?,
                    version: number("n2", n2)?,
                    status: text("t2", t2)?,
                    effective_from: number("n3", n3)?,
                    effective_to: n4,
                    spec: text("t3", t3)?,
                    hash: place.needed("bytes", bytes)?,
                    created_by: text("t4", t4)?,
                    created_at: number("n5", n5)?,
                };
                let coming = n6.map(Timestamp::from_unix_micros);
                (Ask::Model((*project).clone(), *as_of), Fact::Model(Box::new(row.read()?), coming))
            }
            RECIPIENT => {
                let row = recipient::Model {
                    id: text("t1", t1)?,
                    status: text("t2", t2)?,
                    tax: t3,
                    payout_minimums: text("t4", t4)?,
                    rail: text("t5", t5)?,
                    details: text("t6", t6)?,
                    destination_set_by: text("t7", t7)?,
                    created_at: number("n1", n1)?,
                    updated_at: number("n2", n2)?,
                    revision: number("n3", n3)?,
                };
                let stored = row.read()?;
                (Ask::Recipient(stored.value.id.clone()), Fact::Recipient(Box::new(stored)))
            }
            _ => {
                let (id, value, revision) = (text("t1", t1)?, number("n1", n1)?, number("n2", n2)?);
                let revision = Place { table: "counters", id: &id }.count("revision", revision)?;
                let key = CounterKey::stored(id);
                (Ask::Counter(key.clone()), Fact::Counter(StoredCounter { key, value, revision }))
            }
        }))
    }
}

impl Sql {
    pub(super) async fn read_time(&self) -> Result<Timestamp, StoreError> {
        let facts = self.read_together::<Fact>([Ask::Now]).await?;
        let now = facts.into_iter().find_map(|fact| if let Fact::Now(now) = fact { Some(now) } else { None });
        now.ok_or_else(|| store(DbErr::RecordNotFound("the clock".to_owned())))
    }

    pub(super) async fn read_policy(&self) -> Result<Option<PolicyVersion>, StoreError> {
        let facts = self.read_together::<Fact>([Ask::Policy]).await?;
        Ok(facts.into_iter().find_map(|fact| if let Fact::Policy(policy) = fact { Some(policy) } else { None }))
    }

    pub(super) async fn read_model_in_force(
        &self,
        project: &ProjectId,
        as_of: Timestamp,
    ) -> Result<InForce, StoreError> {
        let facts = self.read_together::<Fact>([Ask::Model(project.clone(), Some(as_of))]).await?;
        let found =
            facts.into_iter().find_map(|fact| if let Fact::Model(model, _) = fact { Some(model) } else { None });
        Ok(in_force(found, as_of))
    }

    pub(super) async fn read_recipients(&self, ids: &[RecipientId]) -> Result<Vec<Stored<Recipient>>, StoreError> {
        let facts = self.read_together::<Fact>(ids.iter().cloned().map(Ask::Recipient)).await?;
        let recipient = |fact| if let Fact::Recipient(found) = fact { Some(*found) } else { None };
        Ok(facts.into_iter().filter_map(recipient).collect())
    }

    pub(super) async fn read_counters(&self, keys: &[CounterKey]) -> Result<Vec<StoredCounter>, StoreError> {
        let facts = self.read_together::<Fact>(keys.iter().cloned().map(Ask::Counter)).await?;
        let counter = |fact| if let Fact::Counter(found) = fact { Some(found) } else { None };
        Ok(facts.into_iter().filter_map(counter).collect())
    }

    pub(super) async fn read_basis(&self, wanted: &Wanted) -> Result<Basis, StoreError> {
        if let Some(basis) = self.recall().find(wanted, Instant::now()) {
            return Ok(basis);
        }
        let Wanted { project, as_of, recipients, counters, may_be_recalled: _ } = wanted;
        let asks = [Ask::Now, Ask::Moment, Ask::Policy, Ask::Model(project.clone(), *as_of)].into_iter();
        let asks = asks.chain(recipients.iter().cloned().map(Ask::Recipient));
        let facts = self.read_together::<Fact>(asks.chain(counters.iter().cloned().map(Ask::Counter))).await?;
        let (mut now, mut moment, mut model, mut policy) = (None, None, None, None);
        let (mut recipients, mut counters) = (Vec::new(), Vec::new());
        for fact in facts {
            match fact {
                Fact::Now(found) => now = Some(found),
                Fact::Moment(found) => moment = Some(found),
                Fact::Policy(found) => policy = Some(found),
                Fact::Model(found, coming) => model = Some((found, coming)),
                Fact::Recipient(found) => recipients.push(*found),
                Fact::Counter(found) => counters.push(found),
            }
        }
        let (now, moment) = now.zip(moment).ok_or_else(|| store(DbErr::RecordNotFound("the clock".to_owned())))?;
        let (model, coming) = model.unzip();
        let in_force = in_force(model, as_of.unwrap_or(now));
        let basis = Basis { now, in_force, policy, recipients, counters, recalled: None };
        self.recall().keep(wanted, &basis, (moment, coming.flatten()), Instant::now());
        Ok(basis)
    }
}

fn in_force(found: Option<Box<ModelVersion>>, as_of: Timestamp) -> InForce {
    match found {
        None => InForce::ProjectUnknown,
        Some(version) if version.is_in_force(as_of) => InForce::Version(version),
        Some(_) => InForce::Nothing,
    }
}
