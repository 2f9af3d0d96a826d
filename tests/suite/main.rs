//! The suites that need more than one crate, in one binary.

mod deploy;
mod tidy;
