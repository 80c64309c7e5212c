//! Amounts and currencies: what is no amount, and what nobody can be paid in.

use super::{send, world};
use crate::harness::{home::Engine, on_both_databases};
use reqwest::Method;

on_both_databases! {
    an_amount_is_a_whole_number_above_zero_and_below_2_to_the_53
    a_currency_is_one_in_which_somebody_can_be_paid
}

/// The amount as a client writes it, and the code of what is wrong with it.
const NO_AMOUNTS: [(&str, &str); 25] = [
    ("0", "amount_not_positive"),
    ("-0", "amount_not_positive"),
    ("-1", "amount_not_positive"),
    ("-9007199254740993", "amount_not_positive"),
    ("-9223372036854775808", "amount_not_positive"),
    ("-99999999999999999999", "amount_not_positive"),
    ("9007199254740992", "amount_out_of_range"),
    ("9223372036854775807", "amount_out_of_range"),
    ("9223372036854775808", "amount_out_of_range"),
    ("18446744073709551616", "amount_out_of_range"),
    ("999999999999999999999999999999", "amount_out_of_range"),
    ("1.5", "amount_not_integer"),
    ("1.0", "amount_not_integer"),
    ("-1.5", "amount_not_integer"),
    ("0.1", "amount_not_integer"),
    ("1e2", "amount_not_integer"),
    ("1E+2", "amount_not_integer"),
    ("1e400", "amount_not_integer"),
    ("-1e-400", "amount_not_integer"),
    ("9007199254740990.9", "amount_not_integer"),
    ("\"1\"", "wrong_type"),
    ("\"\"", "wrong_type"),
    ("null", "wrong_type"),
    ("true", "wrong_type"),
    ("[1]", "wrong_type"),
];

async fn an_amount_is_a_whole_number_above_zero_and_below_2_to_the_53(engine: Engine) {
    let world = world(engine).await;
    let rest = r#""projectId":"prj_nobody","currency":"USD""#;
    for (amount, code) in NO_AMOUNTS {
        let fault = format!("/amount {code}");
        let body = format!(r#"{{"escrowId":"esc_refused",{rest},"amount":{amount}}}"#);
        send(&world, Method::POST, "/revenue/schedule-payouts", &body).await.faults("validation_error", &[&fault]);
        let body = format!(r#"{{{rest},"amount":{amount}}}"#);
        send(&world, Method::POST, "/revenue/calculate", &body).await.faults("validation_error", &[&fault]);
    }
    for amount in ["1", "9007199254740991"] {
        let body = format!(r#"{{{rest},"amount":{amount}}}"#);
        send(&world, Method::POST, "/revenue/calculate", &body).await.refused(404, "project_not_found");
    }
    // What is no number in JSON is no JSON.
    for amount in ["NaN", "Infinity", "+1", ".5", "1.", "01", "0x10", "1_000", "1,000"] {
        let body = format!(r#"{{"escrowId":"esc_refused",{rest},"amount":{amount}}}"#);
        send(&world, Method::POST, "/revenue/schedule-payouts", &body).await.refused(400, "malformed_json");
    }
}

async fn a_currency_is_one_in_which_somebody_can_be_paid(engine: Engine) {
    let world = world(engine).await;
    for (currency, code) in [
        ("usd", "currency_malformed"),
        ("Usd", "currency_malformed"),
        ("US", "currency_malformed"),
        ("USDT", "currency_malformed"),
        ("US1", "currency_malformed"),
        ("", "currency_malformed"),
        (" USD", "currency_malformed"),
        ("\u{20ac}", "currency_malformed"),
        ("ZZZ", "currency_unknown"),
        ("DEM", "currency_withdrawn"),
        ("HRK", "currency_withdrawn"),
        ("XAU", "currency_not_payable"),
        ("XXX", "currency_not_payable"),
        ("XTS", "currency_not_payable"),
        ("CHE", "currency_not_payable"),
        ("CLF", "currency_not_payable"),
    ] {
        let fault = format!("/currency {code}");
        let body =
            format!(r#"{{"escrowId":"esc_refused","projectId":"prj_nobody","amount":1,"currency":"{currency}"}}"#);
        let error = send(&world, Method::POST, "/revenue/schedule-payouts", &body).await;
        let error = error.faults("validation_error", &[&fault]);
        if currency == "DEM" {
            let message = error["details"][0]["message"].as_str().unwrap_or_default();
            assert!(message.contains("EUR"), "the currency that took its place is named: {message}");
        }
        let model = format!(r#"{{"currency":"{currency}","steps":[]}}"#);
        let answer = send(&world, Method::PUT, "/projects/prj_refused/revenue-model", &model).await;
        answer.faults("validation_error", &[&fault]);
    }
}
