//! Posts what a release posts (six entries on five accounts, of which each release has four in common with all others)
//! with cala-ledger, as fast as it can: `cala-peer CALLERS BATCH SECONDS`.
//!
//! An account of its own for each escrow, as `disburse` has, would be another row for each release: here all escrows share
//! one, which favours cala-ledger. DATABASE_URL comes by environment.

use cala_ledger::{
    AccountId, CalaLedger, CalaLedgerConfig, JournalId, TransactionId,
    account::NewAccount,
    job::{JobSvcConfig, Jobs},
    journal::NewJournal,
    posting::PostingInput,
    tx_template::{
        NewParamDefinition, NewTxTemplate, NewTxTemplateEntry, NewTxTemplateTransaction, ParamDataType, Params,
    },
};
use std::time::{Duration, Instant};

const CODE: &str = "RELEASE";
/// On which account, which side, how many cents.
const ENTRIES: [(&str, &str, &str); 6] = [
    ("receivable", "DEBIT", "2000.00"),
    ("escrow", "CREDIT", "2000.00"),
    ("escrow", "DEBIT", "2000.00"),
    ("ana", "CREDIT", "1330.00"),
    ("ben", "CREDIT", "570.00"),
    ("fees", "CREDIT", "100.00"),
];
const ACCOUNTS: [&str; 5] = ["receivable", "escrow", "ana", "ben", "fees"];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let numbers: Vec<u64> = std::env::args().skip(1).map(|word| word.parse()).collect::<Result<_, _>>()?;
    let [callers, batch, seconds] = numbers[..] else { anyhow::bail!("usage: cala-peer CALLERS BATCH SECONDS") };
    let url = std::env::var("DATABASE_URL")?;
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(16).connect(&url).await?;
    let config = CalaLedgerConfig::builder().pool(pool.clone()).exec_migrations(true).build()?;
    // They roll up sums over sets of accounts, of which there are none here: they are never started.
    let mut jobs = Jobs::init(JobSvcConfig::builder().pool(pool).build()?).await?;
    let cala = CalaLedger::init(config, &mut jobs).await?;
    let params = prepare(&cala).await?;

    let started = Instant::now();
    let end = started + Duration::from_secs(seconds);
    let callers: Vec<_> = (0..callers)
        .map(|_| {
            let (cala, params) = (cala.clone(), params.clone());
            tokio::spawn(async move {
                let (mut posted, mut again) = (0_u64, 0_u64);
                while Instant::now() < end {
                    let input = || PostingInput::new(TransactionId::new(), CODE, params.clone());
                    // A caller whose turn is lost to another tries again, as a service would.
                    match cala.post_transactions((0..batch).map(|_| input()).collect()).await {
                        Ok(_) => posted += batch,
                        Err(_) if again < 1_000 => again += 1,
                        Err(error) => anyhow::bail!("{error:?}"),
                    }
                }
                Ok((posted, again))
            })
        })
        .collect();
    let (mut posted, mut again) = (0, 0);
    for caller in callers {
        let (by_one, again_by_one) = caller.await??;
        posted += by_one;
        again += again_by_one;
    }
    println!("RESULT postings={posted} micros={}", started.elapsed().as_micros());
    eprintln!("{again} transactions were tried again");
    Ok(())
}

/// A journal, the accounts and the template; what every posting says.
async fn prepare(cala: &CalaLedger) -> anyhow::Result<Params> {
    let journal = JournalId::new();
    cala.journals().create(NewJournal::builder().id(journal).name("releases").build()).await?;
    let mut params = Params::new();
    params.insert("journal_id", journal);
    for account in ACCOUNTS {
        let id = AccountId::new();
        cala.accounts().create(NewAccount::builder().id(id).name(account).code(account).build()).await?;
        params.insert(account, id);
    }
    let wanted = ACCOUNTS
        .iter()
        .chain(&["journal_id"])
        .map(|name| NewParamDefinition::builder().name(*name).r#type(ParamDataType::Uuid).build());
    let entries = ENTRIES.iter().enumerate().map(|(place, (account, side, amount))| {
        NewTxTemplateEntry::builder()
            .entry_type(format!("'ENTRY_{place}'"))
            .account_id(format!("params.{account}"))
            .layer("SETTLED")
            .direction(*side)
            .units(format!("decimal('{amount}')"))
            .currency("'USD'")
            .build()
    });
    let transaction =
        NewTxTemplateTransaction::builder().effective("date()").journal_id("params.journal_id").build()?;
    let template = NewTxTemplate::builder()
        .id(uuid::Uuid::now_v7())
        .code(CODE)
        .params(wanted.collect::<Result<Vec<_>, _>>()?)
        .transaction(transaction)
        .entries(entries.collect::<Result<Vec<_>, _>>()?)
        .build();
    cala.tx_templates().create(template).await?;
    Ok(params)
}
