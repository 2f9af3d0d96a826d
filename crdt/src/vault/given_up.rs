//! Changes that do not stand: what was on disk follows from what is left without them.

use std::collections::{BTreeMap, BTreeSet};

use automerge::{Change, ChangeHash};

/// Changes that are taken out of the logs, each with what it followed from.
#[derive(Debug, Default)]
pub struct GivenUp(BTreeMap<ChangeHash, Vec<ChangeHash>>);

impl GivenUp {
    /// From the raw changes, which had applied.
    pub fn of(raw: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let changes = raw.into_iter().filter_map(|raw| Change::from_bytes(raw).ok());
        Self(changes.map(|change| (change.hash(), change.deps().to_vec())).collect())
    }

    /// The nearest ancestors of these heads that stand.
    pub fn heads_without(&self, heads: &[[u8; 32]]) -> Vec<[u8; 32]> {
        let mut stack: Vec<_> = heads.iter().map(|head| ChangeHash(*head)).collect();
        let (mut seen, mut standing) = (BTreeSet::new(), Vec::new());
        while let Some(change) = stack.pop() {
            if !seen.insert(change) {
                continue;
            }
            match self.0.get(&change) {
                Some(before) => stack.extend(before),
                None => standing.push(change.0),
            }
        }
        standing.sort_unstable();
        standing
    }
}
