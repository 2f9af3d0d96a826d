//! Fuzz targets: what must hold for any bytes, as plain functions.
//!
//! One function serves both callers: `tests/suite/fuzz.rs` replays the committed corpus and mutates it a little in the
//! ordinary test run, and `tests/fuzz/` hands the same functions to libFuzzer. A target panics when a promise breaks.
//!
//! Signed things are read in three ways: as they come, with a signature that a mutation breaks; without looking at the
//! signature, where the interface offers that; and as a payload that a fixed key signs, which reaches what lies behind
//! the signature.

mod actions;
mod answers;
mod approvals;
mod calls;
mod changes;
mod connectors;
mod logs;
mod places;
mod rosters;
pub mod seeds;
mod standings;
mod texts;
mod viewers;

pub use actions::{draft_format, renderer};
pub use answers::imap;
pub use approvals::approval;
pub use calls::{a2a, ticket};
pub use changes::vet;
pub use connectors::hands;
pub use logs::{cose, entry, frame};
pub use places::path;
pub use rosters::roster;
pub use standings::standing;
pub use texts::{guard, mail, note};
pub use viewers::active;

/// One target.
#[derive(Debug)]
pub struct Target {
    /// Its name: that of the binary and of the corpus' folder.
    pub name: &'static str,
    /// The promise.
    pub run: fn(&[u8]),
    /// Mutated inputs in an ordinary test run: about a second's worth.
    pub inputs: u32,
}

/// Every target, by name.
pub const TARGETS: [Target; 18] = [
    Target { name: "a2a", run: a2a, inputs: 3_000 },
    Target { name: "active", run: active, inputs: 400 },
    Target { name: "approval", run: approval, inputs: 600 },
    Target { name: "cose", run: cose, inputs: 1_000 },
    Target { name: "draft_format", run: draft_format, inputs: 1_000 },
    Target { name: "entry", run: entry, inputs: 1_000 },
    Target { name: "frame", run: frame, inputs: 5_000 },
    Target { name: "guard", run: guard, inputs: 1_000 },
    Target { name: "hands", run: hands, inputs: 2_000 },
    Target { name: "imap", run: imap, inputs: 10_000 },
    Target { name: "mail", run: mail, inputs: 1_000 },
    Target { name: "note", run: note, inputs: 100 },
    Target { name: "path", run: path, inputs: 5_000 },
    Target { name: "renderer", run: renderer, inputs: 2_000 },
    Target { name: "roster", run: roster, inputs: 400 },
    Target { name: "standing", run: standing, inputs: 1_000 },
    Target { name: "ticket", run: ticket, inputs: 3_000 },
    Target { name: "vet", run: vet, inputs: 200 },
];

/// Fails unless `text` is one line that hides nothing from a terminal.
fn assert_one_line(text: &str) {
    assert!(!text.chars().any(char::is_control), "a control character in {text:?}");
}

/// Input as text, as far as it is any.
fn text_of(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
