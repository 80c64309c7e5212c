//! How long a page of batches takes, at its beginning and deep in it.

use crate::bench::figures::median;
use crate::bench::ids;
use crate::failure::{Failure, Result};
use crate::http;
use std::net::SocketAddr;
use std::time::Instant;

/// How far down, in hundredths of all batches.
const DEPTHS: [u64; 4] = [0, 10, 50, 99];
/// How often each is asked for, and before that without being timed.
const TIMES: usize = 40;
const WARM: usize = 5;

/// Milliseconds of each time, by depth.
pub struct Pages([Vec<f64>; 4]);

impl Pages {
    /// Those times.
    #[cfg(test)]
    pub fn of(times: [Vec<f64>; 4]) -> Self {
        Self(times)
    }

    /// Asks for pages of the usual length, newest first, after the batch that is so far down.
    pub fn measure(to: SocketAddr, token: &str, batch: impl Fn(u64) -> u128, batches: u64) -> Result<Self> {
        let path = |depth: u64| match depth {
            0 => "/payouts/batches".to_owned(),
            _ => {
                let id = ids::encode(batch(batches - batches * depth / 100));
                format!("/payouts/batches?starting_after=batch_{id}")
            }
        };
        let paths = DEPTHS.map(path);
        let mut pages = [const { Vec::new() }; 4];
        for time in 0..WARM + TIMES {
            for (path, times) in paths.iter().zip(&mut pages) {
                let asked = Instant::now();
                let answer = http::send(to, "GET", path, Some(token), None)?;
                let took = asked.elapsed();
                if answer.status != 200 || !answer.body.contains("\"batchId\"") {
                    return Err(Failure::new(format!("GET {path} was answered {}: {}", answer.status, answer.body)));
                }
                if time >= WARM {
                    times.push(took.as_secs_f64() * 1e3);
                }
            }
        }
        Ok(Self(pages))
    }

    /// Half of the pages of each depth took no longer.
    pub fn medians_ms(&self) -> [f64; 4] {
        std::array::from_fn(|place| median(self.0[place].iter().copied()))
    }

    /// The slowest depth, as a multiple of the first.
    pub fn worst(&self) -> f64 {
        let medians = self.medians_ms();
        medians.iter().fold(0.0_f64, |worst, page| worst.max(page / medians[0]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_depth_is_compared_with_the_first() {
        let pages = Pages::of([vec![1.0, 2.0, 9.0], vec![2.0], vec![5.0], vec![1.0]]);
        assert_eq!(pages.medians_ms(), [2.0, 2.0, 5.0, 1.0]);
        assert_eq!(pages.worst(), 2.5);
    }
}
