//! Lines as CSV. No field ever needs quotes: ids, codes, numbers and hashes have neither commas nor quotes.

use super::{
    lines::{Head, amounts},
    models::Version,
};
use bytes::Bytes;
use domain::calculation::Amounts;

/// Puts lines together as text.
pub(super) struct CsvLines {
    escrows: Bytes,
    text: Vec<u8>,
    /// What every line of a version has in common, by the version's place.
    rendered: Vec<Option<Rendered>>,
    digits: itoa::Buffer,
}

/// The parts of a line that do not depend on the release.
struct Rendered {
    /// `,prj_1,rec_ana,`, by the place of the recipient.
    names: Vec<Vec<u8>>,
    /// `,3,sha256:...` and the end of the line.
    tail: Vec<u8>,
}

impl Rendered {
    fn new(version: &Version) -> Self {
        let written = &version.written;
        let name = |recipient| format!(",{},{recipient},", written.project).into_bytes();
        Self {
            names: version.model.recipients().iter().map(name).collect(),
            tail: format!(",{},{}\n", written.version, written.hash).into_bytes(),
        }
    }
}

impl CsvLines {
    pub(super) fn new(versions: usize) -> Self {
        let rendered = std::iter::repeat_with(|| None).take(versions).collect();
        Self { escrows: Bytes::new(), text: Vec::new(), rendered, digits: itoa::Buffer::new() }
    }

    pub(super) fn begin(&mut self, escrows: Bytes) {
        self.escrows = escrows;
    }

    pub(super) fn add<'l>(&mut self, head: &Head<'_>, lines: impl Iterator<Item = &'l Amounts>) {
        let Self { escrows, text, rendered, digits } = self;
        let escrow = &escrows[head.escrow.0..head.escrow.1];
        let rendered = rendered[head.place].get_or_insert_with(|| Rendered::new(head.version));
        for (name, line) in rendered.names.iter().zip(lines) {
            text.extend_from_slice(escrow);
            text.extend_from_slice(name);
            text.extend_from_slice(head.currency.code().as_bytes());
            for amount in amounts(line) {
                text.push(b',');
                // Tax and what is held are mostly nothing.
                match amount {
                    0 => text.push(b'0'),
                    amount => text.extend_from_slice(digits.format(amount).as_bytes()),
                }
            }
            text.extend_from_slice(&rendered.tail);
        }
    }

    /// The text, which is read and then dropped; its room is kept.
    pub(super) fn take(&mut self) -> Piece<'_> {
        Piece(&mut self.text)
    }
}

/// A text that is gone once it was looked at.
pub(super) struct Piece<'t>(&'t mut Vec<u8>);

impl std::ops::Deref for Piece<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.0
    }
}

impl Drop for Piece<'_> {
    fn drop(&mut self) {
        self.0.clear();
    }
}
