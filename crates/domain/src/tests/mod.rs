//! Tests of the engine as a whole. The tests of single functions stand beside them.
//!
//! * [`vectors`]: the answers that other projects publish
//! * [`properties`]: the 35 properties of the revenue-engine design, section 7f
//! * [`naive`]: the same engine once more, slow and in fractions; [`differential`] holds the two against each other
//! * [`tape`], [`scene`]: random models, recipients and histories of releases that have no fault

mod differential;
mod naive;
mod properties;
mod scene;
mod tape;
mod vectors;
