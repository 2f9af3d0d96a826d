//! What was shown lately, so that an edit made since can be told; the reviewer's own file.

use aiemp_keys::private_file;
use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::home::Home;

/// Renders that are kept: more than a person has open at a time.
const SHOWN_MAX: usize = 100;

/// A draft as it was shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Shown {
    /// The action hash.
    pub(super) id: String,
    /// The draft's file id.
    pub(super) file: String,
    /// Where it lay.
    pub(super) path: String,
    /// The rendered text.
    pub(super) text: String,
}

/// Everything kept, the oldest first.
pub(super) fn all(home: &Home) -> Vec<Shown> {
    let bytes = std::fs::read(home.shown()).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// What was shown under this ID.
pub(super) fn find(home: &Home, id: &str) -> Option<Shown> {
    all(home).into_iter().find(|shown| shown.id == id)
}

/// Keeps the newest hundred; what is shown again is new again.
pub(super) fn remember(home: &Home, shown: Shown) -> Result<()> {
    let mut all = all(home);
    all.retain(|other| other.id != shown.id);
    all.push(shown);
    all.drain(..all.len().saturating_sub(SHOWN_MAX));
    Ok(private_file::write_private(&home.shown(), &serde_json::to_vec(&all)?)?)
}
