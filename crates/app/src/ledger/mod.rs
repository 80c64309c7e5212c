//! Whether the books balance.

pub mod check_books;
