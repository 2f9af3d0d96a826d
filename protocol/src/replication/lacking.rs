//! What durable entries name and this node does not hold: asked for, to be asked for, or held by nobody who is connected.

use std::{collections::BTreeSet, ops::Bound};

use super::Missing;
use crate::ids::ContentHash;

/// The payloads that nobody is being asked for now.
///
/// A member may name as many as it may write entries: each step takes time by the logarithm of how many there are.
#[derive(Debug, Default)]
pub(super) struct Lacking {
    shared: BTreeSet<Missing>,
    private: BTreeSet<Missing>,
    /// No connected peer held these when it was asked; asked for again with the next frontier.
    unavailable: BTreeSet<Missing>,
    /// The last of each audience that was asked for: whoever names many that nobody holds keeps no other from its turn.
    last_shared: Option<Missing>,
    last_private: Option<Missing>,
}

impl Lacking {
    pub(super) fn new(missing: BTreeSet<Missing>) -> Self {
        let (shared, private) = missing.into_iter().partition(|missing| missing.is_shared);
        Self { shared, private, ..Self::default() }
    }

    const fn of_audience(&mut self, is_shared: bool) -> &mut BTreeSet<Missing> {
        if is_shared { &mut self.shared } else { &mut self.private }
    }

    /// It is lacked; nobody is asked yet.
    pub(super) fn want(&mut self, missing: Missing) {
        if !self.unavailable.contains(&missing) {
            self.of_audience(missing.is_shared).insert(missing);
        }
    }

    /// The next of an audience, in turn, of which no payload with this digest is under way.
    pub(super) fn next(&self, is_shared: bool, is_under_way: impl Fn(ContentHash) -> bool) -> Option<Missing> {
        let (wanted, last) =
            if is_shared { (&self.shared, self.last_shared) } else { (&self.private, self.last_private) };
        let behind = last.map(|last| wanted.range((Bound::Excluded(last), Bound::Unbounded)));
        let in_turn = behind.into_iter().flatten().chain(wanted.iter());
        in_turn.copied().find(|missing| !is_under_way(missing.hash))
    }

    /// A peer is asked for it.
    pub(super) fn asked(&mut self, missing: Missing) {
        self.of_audience(missing.is_shared).remove(&missing);
        *if missing.is_shared { &mut self.last_shared } else { &mut self.last_private } = Some(missing);
    }

    /// No peer that is connected has it.
    pub(super) fn unavailable(&mut self, missing: Missing) {
        self.unavailable.insert(missing);
    }

    /// Peers may hold more than when they were asked.
    pub(super) fn ask_again(&mut self) {
        for missing in std::mem::take(&mut self.unavailable) {
            self.want(missing);
        }
    }

    /// What came for this is here.
    pub(super) fn came(&mut self, came: Missing) {
        self.remove(came.hash, |missing| came.serves(missing));
    }

    /// No change with this digest is wanted any more.
    pub(super) fn forget_change(&mut self, hash: ContentHash) {
        self.remove(hash, |missing| missing.is_change);
    }

    /// None of these is wanted any more.
    pub(super) fn forget(&mut self, forgotten: &BTreeSet<ContentHash>) {
        for of in [&mut self.shared, &mut self.private, &mut self.unavailable] {
            of.retain(|missing| !forgotten.contains(&missing.hash));
        }
    }

    fn remove(&mut self, hash: ContentHash, gone: impl Fn(&Missing) -> bool) {
        let first = Missing { hash, length: 0, is_change: false, is_shared: false };
        let last = Missing { hash, length: u64::MAX, is_change: true, is_shared: true };
        for of in [&mut self.shared, &mut self.private, &mut self.unavailable] {
            let found: Vec<_> = of.range(first..=last).filter(|missing| gone(missing)).copied().collect();
            for missing in found {
                of.remove(&missing);
            }
        }
    }
}
