//! Which contents are kept: what any file shows or lists, and what it said as far back as history goes.
//!
//! A function of the registers, of what lies on this disk, and of which entries count as recent: those that came here within
//! that time, or that some member has not heard of.

use std::collections::{BTreeMap, BTreeSet};

use aiemp_protocol::ids::{ContentHash, FileId};

use super::{Vault, hidden::hidden_of};
use crate::{
    conflict,
    index::{FileRecord, Origin},
};

impl Vault {
    /// The payloads that logs name and nobody needs any more.
    pub fn not_kept(&self, is_recent: impl Fn(&Origin) -> bool) -> BTreeSet<ContentHash> {
        let mut on_disk: BTreeMap<FileId, Vec<ContentHash>> = BTreeMap::new();
        for there in self.on_disk.values() {
            on_disk.entry(there.file).or_default().push(there.base);
        }
        let (mut named, mut kept) = (BTreeSet::new(), BTreeSet::new());
        for (file, record) in self.index.iter() {
            let there = on_disk.remove(&file).unwrap_or_default();
            let is_gone = there.is_empty() && self.is_gone(file, record, &is_recent);
            let bases = if is_gone { BTreeSet::new() } else { kept_bases(record, there, &is_recent) };
            for (_, base) in record.contents() {
                if bases.contains(&base.hash) { &mut kept } else { &mut named }.insert(base.hash);
            }
            for change in record.changes() {
                let is_kept = bases.contains(&change.base) || is_recent(&change.origin);
                if is_kept { &mut kept } else { &mut named }.insert(change.hash);
            }
        }
        named.retain(|hash| !kept.contains(hash));
        named
    }

    /// Whether the file has been out of sight for so long that nobody asks for it back, and nothing about it is listed.
    fn is_gone(&self, file: FileId, record: &FileRecord, is_recent: impl Fn(&Origin) -> bool) -> bool {
        record.archived.without(&is_recent).is_said()
            && !self.is_in_sight(file)
            && !conflict::is_late(record)
            && !record.archived.has_any(&is_recent)
            && !record.base.has_any(&is_recent)
            && !record.has_compaction(&is_recent)
            && !record.changes().iter().any(|change| is_recent(&change.origin))
    }
}

/// Contents of a file with all that was changed in them: what it says, what it said since then, and what is listed beside it.
fn kept_bases(
    record: &FileRecord,
    on_disk: Vec<ContentHash>,
    is_recent: impl Fn(&Origin) -> bool,
) -> BTreeSet<ContentHash> {
    let mut said: BTreeSet<_> = record.base.writes().map(|(_, base)| base.hash).collect();
    if !record.had_bases() {
        return said;
    }
    said.extend(record.base.without(&is_recent).writes().map(|(_, base)| base.hash));
    said.extend(record.base.all().filter(|(origin, _)| is_recent(origin)).map(|(_, base)| base.hash));
    let mut bases: BTreeSet<_> = said.into_iter().flat_map(|base| record.read_from(base, &is_recent)).collect();
    bases.extend(hidden_of(record).into_keys());
    bases.extend(on_disk);
    bases
}
