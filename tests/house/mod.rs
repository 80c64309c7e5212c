//! Is the house still the house? The invariants that no compiler holds.

mod documents;
mod endpoints;
mod failpoints;
mod failure_model;
mod layers;
mod sources;

use std::path::{Path, PathBuf};

/// The root of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace").to_owned()
}
