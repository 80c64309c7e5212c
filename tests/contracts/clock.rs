//! The time that everybody agrees on.

use super::{Bench, sample::seconds};

/// Whatever becomes of the time that everybody agrees on, this one never goes back.
pub async fn the_steady_clock_never_goes_back(bench: &dyn Bench) {
    let ports = bench.ports();
    let mut before = ports.clock.steady();
    for _ in 0..3 {
        bench.pass(seconds(1)).await;
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        let now = ports.clock.steady();
        assert!(now > before, "{before:?} then {now:?}");
        before = now;
    }
}

pub async fn the_clock_moves_forward(bench: &dyn Bench) {
    let ports = bench.ports();
    let mut before = ports.now().await;
    for step in [1, 60, 86_400 * 400] {
        for _ in 0..10 {
            let now = ports.now().await;
            assert!(now >= before && now.since(before) < seconds(600), "{before} then {now}");
            before = now;
        }
        bench.pass(seconds(step)).await;
        let now = ports.now().await;
        let passed = now.since(before);
        assert!(passed >= seconds(step) && passed < seconds(step + 600), "{before} then {now}");
        before = now;
    }
}
