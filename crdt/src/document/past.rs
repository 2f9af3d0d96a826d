//! What a note said at an earlier state, and what changes that parted have in common.

use std::{
    collections::BTreeMap,
    panic::{self, AssertUnwindSafe},
};

use automerge::{ActorId, ChangeHash, ObjId};

use super::{Document, object, pairs, read_note, text_of};
use crate::{form::Clock, index::Origin, note::Note};

/// The changes of a document by actor and last operation: of one actor each follows from the one before.
pub(crate) struct Graph<'a> {
    document: &'a Document,
    by_actor: BTreeMap<&'a ActorId, BTreeMap<u64, ChangeHash>>,
}

impl<'a> Graph<'a> {
    pub(crate) fn of(document: &'a Document) -> Self {
        let mut by_actor: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for (hash, known) in &document.known {
            by_actor.entry(&known.actor).or_default().insert(known.max_op, *hash);
        }
        Self { document, by_actor }
    }

    /// Whether a change is another, or lies in its past.
    pub(crate) fn has_in_past(&self, later: &ChangeHash, earlier: &ChangeHash) -> bool {
        let (Some(later), Some(earlier)) = (self.document.known.get(later), self.document.known.get(earlier)) else {
            return false;
        };
        later.past.get(&earlier.actor).is_some_and(|last| *last >= earlier.max_op)
    }

    /// The change that an operation came with.
    pub(crate) fn change_of(&self, operation: &ObjId) -> Option<ChangeHash> {
        let ObjId::Id(counter, actor, _) = operation else { return None };
        self.by_actor.get(actor)?.range(counter..).next().map(|(_, change)| *change)
    }

    /// The heads of what lies in the past of each of these changes.
    pub(crate) fn common_heads(&self, changes: &[ChangeHash]) -> Vec<ChangeHash> {
        let mut pasts = changes.iter().filter_map(|change| self.document.known.get(change)).map(|known| &known.past);
        let Some(first) = pasts.next() else { return Vec::new() };
        let common = pasts.fold(first.clone(), |common, past| {
            let both = common.into_iter().filter_map(|(actor, last)| Some((last.min(*past.get(&actor)?), actor)));
            both.map(|(last, actor)| (actor, last)).collect()
        });
        self.heads_of(&common)
    }

    /// The heads of what lies in the past of a change and in that of any of the others.
    pub(crate) fn heads_shared(&self, others: &[ChangeHash], change: &ChangeHash) -> Vec<ChangeHash> {
        let known = self.pasts(others);
        let past = self.document.known.get(change).map(|known| known.past.clone()).unwrap_or_default();
        let shared = past.into_iter().filter_map(|(actor, last)| Some((last.min(*known.get(&actor)?), actor)));
        self.heads_of(&shared.map(|(last, actor)| (actor, last)).collect())
    }

    /// The heads of these changes and all that they follow from.
    pub(crate) fn heads_together(&self, changes: &[ChangeHash]) -> Vec<ChangeHash> {
        self.heads_of(&self.pasts(changes))
    }

    fn pasts(&self, changes: &[ChangeHash]) -> Clock {
        let mut all = Clock::new();
        let known = changes.iter().filter_map(|change| self.document.known.get(change));
        for (actor, last) in known.flat_map(|known| &known.past) {
            let held = all.entry(actor.clone()).or_default();
            *held = (*last).max(*held);
        }
        all
    }

    /// Changes in an order that stays when their authors go on.
    pub(crate) fn by_author(&self, changes: &[ChangeHash]) -> Vec<ChangeHash> {
        let mut sorted = changes.to_vec();
        sorted.sort_by_key(|change| (self.document.known.get(change).map(|known| &known.actor), *change));
        sorted
    }

    /// What somebody did on the way to a change who had not heard of another: the changes with their entries, the last first.
    pub(crate) fn branch(&self, to: &ChangeHash, beside: &ChangeHash) -> Vec<&'a Origin> {
        let known = self.document.known.iter();
        let of_branch = known.filter(|(change, _)| self.has_in_past(to, change) && !self.has_in_past(beside, change));
        let mut branch: Vec<_> =
            of_branch.filter_map(|(change, known)| Some((known.max_op, change, known.origin.as_deref()?))).collect();
        branch.sort_by_key(|(max_op, change, _)| std::cmp::Reverse((*max_op, **change)));
        branch.into_iter().map(|(_, _, origin)| origin).collect()
    }

    /// The heads of all that was written by those who did not have both of these changes.
    pub(crate) fn heads_beside(&self, one: &ChangeHash, other: &ChangeHash) -> Vec<ChangeHash> {
        let is_beside = |change: &ChangeHash| !(self.has_in_past(change, one) && self.has_in_past(change, other));
        // Of one actor whatever follows a change that has both has both.
        let last = |changes: &BTreeMap<u64, ChangeHash>| {
            let beside = changes.iter().take_while(|(_, change)| is_beside(change));
            beside.last().map(|(max_op, _)| *max_op)
        };
        let past = self.by_actor.iter().filter_map(|(actor, changes)| Some(((*actor).clone(), last(changes)?)));
        self.heads_of(&past.collect())
    }

    /// The changes of a past that none other of it follows, sorted.
    fn heads_of(&self, past: &Clock) -> Vec<ChangeHash> {
        let last = |(actor, last): (&ActorId, &u64)| Some(*self.by_actor.get(actor)?.range(..=last).next_back()?.1);
        let all: Vec<_> = past.iter().filter_map(last).collect();
        let is_head =
            |change: &&ChangeHash| !all.iter().any(|other| other != *change && self.has_in_past(other, change));
        let mut heads: Vec<_> = all.iter().filter(is_head).copied().collect();
        heads.sort();
        heads
    }
}

impl Document {
    /// Whether anything came together here.
    pub(crate) fn has_merges(&mut self) -> bool {
        !self.merges.is_empty() || self.heads().len() > 1
    }

    /// The latest pairs of changes, neither of which follows from the other, that came together here or in a change.
    pub(crate) fn latest_merges(&mut self, count: usize) -> Vec<(ChangeHash, ChangeHash)> {
        let mut merges = self.merges.clone();
        merges.extend(pairs(&self.heads()));
        let last_op = |change: &ChangeHash| self.known.get(change).map_or(0, |known| known.max_op);
        merges.sort_by_key(|(one, other)| std::cmp::Reverse((last_op(one).max(last_op(other)), *one, *other)));
        merges.dedup();
        merges.truncate(count);
        merges
    }

    /// The body at these heads; none if it cannot be read.
    pub(crate) fn body_at(&self, heads: &[ChangeHash]) -> Option<String> {
        let doc = &self.doc;
        let read = || text_of(doc, &object(doc, "body")?, Some(heads)).ok();
        panic::catch_unwind(AssertUnwindSafe(read)).ok()?
    }

    /// The note at these heads; none if it cannot be read.
    pub(crate) fn note_at(&self, heads: &[ChangeHash]) -> Option<Note> {
        let doc = &self.doc;
        panic::catch_unwind(AssertUnwindSafe(|| read_note(doc, Some(heads)))).ok()
    }

    /// What the note says with these changes and all that they follow from.
    pub(crate) fn text_of_pasts(&self, changes: &[ChangeHash]) -> Option<String> {
        let heads = Graph::of(self).heads_together(changes);
        let note = self.note_at(&heads)?;
        Some(self.mended_at(&heads, &note).unwrap_or(note).to_text())
    }

    /// What the note said with those changes alone whose entries somebody had, all that they follow from among them.
    pub(crate) fn text_of_those(&self, has: impl Fn(&Origin) -> bool) -> Option<String> {
        let mut past = Clock::new();
        let had = self.known.values().filter(|known| known.origin.as_ref().is_none_or(|origin| has(origin)));
        for known in had {
            let last = past.entry(known.actor.clone()).or_default();
            *last = (*last).max(known.max_op);
        }
        let heads = Graph::of(self).heads_of(&past);
        let note = self.note_at(&heads)?;
        Some(self.mended_at(&heads, &note).unwrap_or(note).to_text())
    }
}
