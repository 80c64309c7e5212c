//! Names that nobody has drawn before.

use app::ports::Ids;
use uuid::Uuid;

/// `UUIDv7` from the machine's clock and random bits; within one process each is greater than the one before.
#[derive(Clone, Copy, Debug, Default)]
pub struct UuidV7;

impl Ids for UuidV7 {
    #[expect(clippy::disallowed_methods, reason = "this is the Ids port")]
    fn fresh(&self) -> Uuid {
        Uuid::now_v7()
    }
}
