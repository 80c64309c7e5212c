//! The time that everybody agrees on.

use super::{Bench, sample::seconds};

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
