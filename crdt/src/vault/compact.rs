//! Notes that were changed often and then left alone start anew from what they say: their changes need not be kept then, and
//! whoever joins the mesh later reads texts, not how they came about.

use std::collections::BTreeSet;

use aiemp_protocol::{
    entry::{ContentRef, Item},
    ids::FileId,
};

use super::{
    Projection, Vault,
    open::{DocState, StandsFor, Task},
};
use crate::index::{ChangeRef, FileRecord, Origin, Start};

/// What a change costs beside its bytes, in the store and in whoever reads it.
const CHANGE_OVERHEAD: u64 = 256;

impl Vault {
    /// Files whose document may start anew, in id order from after one on: nobody changed them of late, there are so many
    /// changes, and what is kept of them is at least as much as what the document starts from.
    pub fn compactable(
        &self,
        is_recent: impl Fn(&Origin) -> bool,
        after: Option<FileId>,
        changes_min: usize,
    ) -> impl Iterator<Item = FileId> {
        let may = move |(file, record): &(FileId, &FileRecord)| {
            after.is_none_or(|after| *file > after)
                && self.boundaries.may_write(file.zone)
                && is_worth_it(record, &is_recent, changes_min)
                && self.is_in_sight(*file)
        };
        self.index.iter().filter(may).map(|(file, _)| file)
    }

    /// Lets documents start anew of which nothing is listed.
    pub(super) fn compact(&mut self, files: Vec<FileId>) {
        let listed: BTreeSet<_> = self.open_items().into_iter().map(|item| item.file).collect();
        for file in files.into_iter().filter(|file| !listed.contains(file)) {
            let changes = self.shown_changes(file);
            self.with_document(file, Task::Compact { changes });
        }
    }

    fn shown_changes(&self, file: FileId) -> usize {
        self.index.get(file).map_or(0, |record| record.current_changes().count())
    }

    /// The document is at hand: it starts anew if nobody changed it since it was looked for, the disk shows what it says, and
    /// no document of the file began so before, nor did anybody say so: their changes would come back, or come up only now.
    pub(super) fn compact_open(&mut self, file: FileId, changes: usize) {
        let Some(DocState::Note(note)) = self.docs.get(&file) else { return };
        if note.lacks_changes || note.stands != StandsFor::Place || self.shown_changes(file) != changes {
            return;
        }
        let (from, bytes) = (note.base, note.merged.text().into_bytes());
        let to = ContentRef::of(&bytes);
        let Some((key, there)) = self.projection_of(file) else { return };
        let is_shown = there.hash == to.hash && !self.missing.contains_key(key) && !self.in_flight.contains_key(key);
        let is_known = |record: &FileRecord| record.had_base(to.hash) || record.changes_under(to.hash).next().is_some();
        if !is_shown || self.index.get(file).is_none_or(is_known) {
            return;
        }
        let place = Some(key.to_owned());
        let item = Item::Compacted { file, from, length: to.length, base: to.hash };
        self.push_item(file.zone.audience(), item, Some(bytes));
        *self.unapplied.entry(file).or_default() += 1;
        self.docs.remove(&file);
        self.disk_holds(file, place, to.hash, Some((to.hash, Vec::new())));
    }
}

impl Projection {
    /// What lies there with the text that the document starts anew from is the new one: whoever saves over that has seen it.
    pub(super) fn start_anew(&mut self, record: &FileRecord) {
        let start = record.start(&record.base, |_| true);
        let is_start = |start: &Start<'_>| start.content.hash == self.hash && start.before.contains(&self.base);
        if start.as_ref().is_some_and(is_start) {
            (self.base, self.heads, self.merged_changes) = (self.hash, Vec::new(), None);
        }
    }
}

fn is_worth_it(record: &FileRecord, is_recent: impl Fn(&Origin) -> bool, changes_min: usize) -> bool {
    let Some(start) = record.start(&record.base, |_| true) else { return false };
    let changes: Vec<&ChangeRef> = record.changes_under(start.content.hash).collect();
    let cost: u64 = changes.iter().map(|change| change.length.saturating_add(CHANGE_OVERHEAD)).sum();
    changes.len() >= changes_min
        && cost >= start.content.length
        && !start.made_by().any(&is_recent)
        && !changes.iter().any(|change| is_recent(&change.origin))
}
