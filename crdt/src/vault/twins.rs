//! Files of one name that say the same: one of them is enough.
//!
//! Two who save a file alike without having heard of each other make two of it. The node on which the one was saved that
//! does not have the name puts it away, once both lie on its disk as they are merged. What somebody who had not heard of that
//! writes to it keeps it in sight, as after any deletion.

use std::collections::BTreeSet;

use aiemp_protocol::{
    ids::{ContentHash, FileId},
    limits::ITEMS_PER_ENTRY_MAX,
};

use super::{Vault, names::NUMBER_MAX};
use crate::index::Origin;

impl Vault {
    /// Looks at a file that is in step with the merge and at those of its name that say the same; of very many the first.
    pub(super) fn put_twins_away(&mut self, file: FileId) {
        let Some(key) = self.index.get(file).and_then(|record| record.path.shown()).map(|path| path.key()) else {
            return;
        };
        if self.names.namesakes(&key).nth(1).is_none() {
            return;
        }
        let Some(said) = self.said_by(file) else { return };
        // What one says that comes before is not known yet: another node, which knows, may let this one go for that.
        let others: Vec<_> =
            self.names.namesakes(&key).take(NUMBER_MAX).filter(|other| other.zone == file.zone).collect();
        let known = others.iter().take_while(|other| self.said_by(**other).is_some()).copied();
        let mut alike = known.filter(|other| self.said_by(*other) == Some(said));
        // That a person deleted it is for somebody to decide.
        let Some(first) = alike.next().filter(|first| !self.is_in_dispute(*first)) else { return };
        let later: BTreeSet<_> = alike.collect();
        for twin in later.into_iter().filter(|twin| self.is_saved_here(*twin)).collect::<Vec<_>>() {
            self.take_one(first, twin);
        }
    }

    /// The digest of what a file says, if it lies on disk like that and nothing about it is under way.
    fn said_by(&self, file: FileId) -> Option<ContentHash> {
        let record = self.index.get(file)?;
        let is_under_way = self.unapplied.contains_key(&file) || self.archivings.contains_key(&file);
        let (place, there) = self.projection_of(file).filter(|_| !is_under_way)?;
        let is_merged = there.merged_changes == Some(record.text_writes()) && Some(there.base) == record.shown_base();
        (is_merged && !self.in_flight.contains_key(place) && !self.missing.contains_key(place)).then_some(there.hash)
    }

    /// Whether the file began as one that somebody saved on this node, which may put it away. What became of a claim or an
    /// approval is told by files that the node makes itself, and their ids say what they are for.
    fn is_saved_here(&self, file: FileId) -> bool {
        let first = self.index.get(file).and_then(|record| record.base.all().next()).map(|(origin, _)| origin);
        let own = first.filter(|origin| origin.author() == self.me && self.boundaries.may_archive(file.zone));
        let is_new =
            |origin: &Origin, item: usize| FileId::fresh(file.zone, origin.log, origin.seq, item as u64) == file;
        own.is_some_and(|origin| (0..ITEMS_PER_ENTRY_MAX).any(|item| is_new(origin, item)))
    }
}
