//! Documents that start anew from what they said, so that nobody need keep how they came to say it.
//!
//! A compaction writes no register: what a file is, who wrote it, and what is listed about it stay as they were. It says from
//! which content the document of the shown base is read. Who changed the document meanwhile without having heard of that goes
//! on in the old one, and so does everybody: as long as nobody changed the new one, nothing is lost by that.
//!
//! Only what those changed whose word counts first decides between the two. What others changed is listed where it is not
//! shown: else they could bring back, at any time, a document that everybody has forgotten.

use std::sync::Arc;

use aiemp_keys::NodeId;
use aiemp_protocol::{entry::ContentRef, ids::ContentHash};

use super::{FileRecord, Later, Origin, Register};

/// A document that starts anew.
#[derive(Clone, Debug)]
pub struct Compaction {
    /// The entry that says so.
    pub origin: Arc<Origin>,
    /// The base that it started from until then.
    pub from: ContentHash,
    /// What it said, and starts from now on.
    pub to: ContentRef,
    /// Whether somebody whose word counts first changed the old document meanwhile.
    is_overtaken: bool,
    /// Whether such a one changed the new one.
    is_taken_up: bool,
}

impl Compaction {
    fn changed(&mut self, base: ContentHash, change: &Origin) {
        self.is_overtaken |= base == self.from && !change.is_before(&self.origin);
        self.is_taken_up |= base == self.to.hash;
    }

    const fn stands(&self) -> bool {
        !self.is_overtaken || self.is_taken_up
    }
}

/// The content that the document of a register starts from.
#[derive(Debug)]
pub struct Start<'r> {
    /// It.
    pub content: ContentRef,
    /// The entries that made it that: whoever wrote the shown value, and the compactions since.
    made_by: Vec<&'r Origin>,
    /// The bases that it started from before.
    pub before: Vec<ContentHash>,
}

impl Start<'_> {
    /// Whether somebody who made it the content had this.
    pub fn knows(&self, earlier: &Origin) -> bool {
        self.made_by.iter().any(|origin| earlier.is_before(origin))
    }

    /// The entries that made it the content.
    pub fn made_by(&self) -> impl Iterator<Item = &Origin> {
        self.made_by.iter().copied()
    }
}

impl Later {
    /// Somebody whose word counts first changed a document.
    pub(super) fn judge_compactions(&mut self, base: ContentHash, change: &Origin) {
        self.compactions.iter_mut().for_each(|compaction| compaction.changed(base, change));
    }
}

impl FileRecord {
    pub(super) fn compact(
        &mut self,
        origin: &Arc<Origin>,
        (from, to): (ContentHash, ContentRef),
        names_first: impl Fn(NodeId) -> bool,
    ) {
        if from == to.hash {
            return;
        }
        let mut compaction =
            Compaction { origin: Arc::clone(origin), from, to, is_overtaken: false, is_taken_up: false };
        for change in self.changes().iter().filter(|change| names_first(change.origin.author())) {
            compaction.changed(change.base, &change.origin);
        }
        self.note_base(to.hash);
        self.later.get_or_insert_default().compactions.push(compaction);
    }

    pub(super) fn compactions(&self) -> &[Compaction] {
        self.later.as_ref().map_or(&[], |later| &later.compactions)
    }

    /// The compactions that follow each other from a base and stand.
    fn compactions_from(
        &self,
        base: ContentHash,
        counts: impl Fn(&Origin) -> bool,
    ) -> impl Iterator<Item = &Compaction> {
        let next = move |base: ContentHash| {
            let of_base = self.compactions().iter().filter(|compaction| compaction.from == base);
            of_base
                .filter(|compaction| counts(&compaction.origin) && compaction.stands())
                .min_by_key(|one| one.origin.hash)
        };
        std::iter::successors(next(base), move |last| next(last.to.hash)).take(self.compactions().len())
    }

    /// Where the document of a register of contents starts, going by the entries that count.
    pub fn start<'r>(&'r self, base: &'r Register<ContentRef>, counts: impl Fn(&Origin) -> bool) -> Option<Start<'r>> {
        let shown = *base.shown()?;
        let made_by = base.writes().filter(|(_, content)| **content == shown).map(|(origin, _)| origin);
        let mut start = Start { content: shown, made_by: made_by.collect(), before: Vec::new() };
        for compaction in self.compactions_from(shown.hash, counts) {
            start.before.push(start.content.hash);
            start.made_by.push(&compaction.origin);
            start.content = compaction.to;
        }
        Some(start)
    }

    /// The content that the shown document starts from.
    pub fn shown_base(&self) -> Option<ContentHash> {
        let shown = self.base.shown()?.hash;
        Some(self.compactions_from(shown, |_| true).last().map_or(shown, |last| last.to.hash))
    }

    /// Who wrote what the shown document starts from: whoever wrote the content, and whoever had changed what became of it.
    pub fn writers_of_start(&self) -> impl Iterator<Item = &Origin> {
        let before = self.start(&self.base, |_| true).map(|start| start.before).unwrap_or_default();
        let changes = self.changes().iter().filter(move |change| before.contains(&change.base));
        self.base.writes().map(|(origin, _)| origin).chain(changes.map(|change| &*change.origin))
    }

    /// All contents that a document of the file ever started from, each with the entry that says so.
    pub fn contents(&self) -> impl Iterator<Item = (&Origin, &ContentRef)> {
        self.base.all().chain(self.compactions().iter().map(|compaction| (&*compaction.origin, &compaction.to)))
    }

    /// The contents that are needed to read the document of a base, now and by whoever has not heard of a compaction yet.
    pub fn read_from(&self, base: ContentHash, is_recent: impl Fn(&Origin) -> bool) -> Vec<ContentHash> {
        let mut needed = Vec::new();
        let mut last = base;
        for compaction in self.compactions_from(base, |_| true) {
            needed.extend(is_recent(&compaction.origin).then_some(last));
            last = compaction.to.hash;
        }
        needed.push(last);
        // It may come to stand yet.
        let overtaken = self.compactions().iter().filter(|compaction| compaction.from == last);
        needed
            .extend(overtaken.filter(|compaction| is_recent(&compaction.origin)).map(|compaction| compaction.to.hash));
        needed
    }

    /// Whether changes were made to a document that started anew by one of these.
    pub fn has_changes_since(&self, of: impl Fn(&Origin) -> bool) -> bool {
        let of_these = self.compactions().iter().filter(|compaction| of(&compaction.origin));
        of_these.map(|compaction| compaction.to.hash).any(|base| self.changes_under(base).next().is_some())
    }

    /// Whether any compaction is one of these.
    pub fn has_compaction(&self, of: impl Fn(&Origin) -> bool) -> bool {
        self.compactions().iter().any(|compaction| of(&compaction.origin))
    }
}

#[cfg(test)]
mod tests;
