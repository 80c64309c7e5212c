//! A batch job over releases, with nothing but this crate: no service, no database.
//!
//!     cargo run -p domain --example batch_job                    # the sample below
//!     cargo run -p domain --example batch_job -- releases.csv    # escrow,amount in minor units,currency,day
//!
//! Prints a line for every recipient of every release. `disburse bulk calculate` does the same for many projects, on
//! all cores.

use domain::{
    calculation::{Calculator, Release},
    revenue_model::{
        ModelSpec, RevenueModel,
        spec::{FeeSpec, LineSpec, StepSpec},
    },
};
use std::{env, error::Error, fs};

const SAMPLE: &str = "\
escrow,amount,currency,day
esc_1,200000,USD,2026-01-31
esc_2,133333,JPY,2026-02-28
esc_3,100,EUR,2026-03-31
";

fn main() -> Result<(), Box<dyn Error>> {
    let releases = env::args().nth(1).map_or(Ok(SAMPLE.to_owned()), fs::read_to_string)?;
    let model = model()?;
    // It keeps its lists: nothing is allocated per release.
    let mut calculator = Calculator::new(&model);
    println!("escrow,recipient,currency,gross,fee,tax,net");
    for (line, row) in releases.lines().enumerate().skip(1) {
        let (escrow, release) = release(row).map_err(|error| format!("line {}: {error}", line + 1))?;
        // What the model counted so far; nothing, for it counts nothing. Else the next one is split with `counts()`.
        let split = calculator.split(&release, &[])?;
        for (recipient, amounts) in split.lines() {
            let (gross, fee, tax, net) = (amounts.gross_minor, amounts.fee_minor, amounts.tax_minor, amounts.net_minor);
            println!("{escrow},{recipient},{},{gross},{fee},{tax},{net}", release.currency);
        }
    }
    Ok(())
}

/// 70 % and 30 %, less a fee of 5 %. The same as JSON is a model of the API.
fn model() -> Result<RevenueModel, Box<dyn Error>> {
    let percent = |recipient: &str, percent: &str| -> Result<LineSpec, Box<dyn Error>> {
        Ok(LineSpec { percent: Some(percent.to_owned()), ..LineSpec::of(recipient.parse()?) })
    };
    let lines = vec![percent("rec_ana", "70")?, percent("rec_ben", "30")?];
    let share = StepSpec::Share { key: None, portion_ppm: None, lines, feeable: None };
    let fee = FeeSpec { rate_ppm: 50_000, ..FeeSpec::default() };
    let spec = ModelSpec { steps: vec![share], platform_fee: Some(fee), ..ModelSpec::default() };
    // All faults at once, each with where it is.
    Ok(spec.check().map_err(|faults| format!("{faults:#?}"))?)
}

fn release(row: &str) -> Result<(&str, Release), Box<dyn Error>> {
    let fields: Vec<&str> = row.split(',').collect();
    let [escrow, amount, currency, day] = fields[..] else { return Err("four fields are needed".into()) };
    let (amount_minor, currency, day) = (amount.parse()?, currency.parse()?, day.parse()?);
    Ok((escrow, Release { amount_minor, currency, deductions_minor: 0, day }))
}
