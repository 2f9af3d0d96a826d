//! Conflicts: places where converging may not be what anyone meant.
//!
//! An item is a pure function of registers and document graph, so every node of the audience lists the same ones.

use std::collections::BTreeMap;

use aiemp_keys::{Hash, NodeId, Value, cbor};
use aiemp_protocol::{
    active::Finding,
    entry::ContentRef,
    ids::{ConflictId, FileId},
    time::Timestamp,
    vault_path::VaultPath,
};

use crate::index::{ChangeRef, FileRecord, Origin, Register};

/// What kind of place it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConflictKind {
    /// One front matter field, two values.
    Field,
    /// One place of the text, changed by two: words of both stand there.
    Text,
    /// A merge after which the file is read as another note than both sides wrote.
    Structure,
    /// One side deleted the note, the other edited it: it stays in sight until somebody decides.
    DeleteEdit,
    /// An edit of a note that had moved on, to approval or to another folder.
    LateEdit,
    /// Two contents for one file: created twice, or edited under a content that was replaced.
    Content,
    /// The same of contents that are no text.
    Blob,
    /// One file, moved to two places.
    Move,
    /// Two files of one name, of which one has a number.
    Name,
    /// Two vaults held different contents at one place before they met: two files of one name.
    Adoption,
    /// Two nodes claimed one note, and the copy of the one that does not have the work says something of its own, or both
    /// were made by hand.
    Claim,
    /// What an author wrote is not taken, from a change on that no edit of a note makes.
    Dropped,
    /// Active content that nobody released. Listed where it is held back, which not every node does.
    ActiveContent,
    /// Many files that vanished from this disk within seconds. Listed there alone.
    MassRemoval,
}

impl ConflictKind {
    /// The word for it in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Field => "field",
            Self::Text => "text",
            Self::Structure => "structure",
            Self::DeleteEdit => "delete_edit",
            Self::LateEdit => "late_edit",
            Self::Content => "content",
            Self::Blob => "blob",
            Self::Move => "move",
            Self::Name => "name",
            Self::Adoption => "adoption",
            Self::Claim => "claim",
            Self::Dropped => "dropped",
            Self::ActiveContent => "active_content",
            Self::MassRemoval => "mass_removal",
        }
    }

    /// Whether what the file says is in doubt, and not only where it lies.
    pub const fn is_about_content(self) -> bool {
        !matches!(self, Self::Move | Self::Name | Self::Adoption)
    }

    /// Whether nobody can approve a draft before it is decided. Whoever approves reads the text.
    pub const fn blocks_approval(self) -> bool {
        self.is_about_content() && !matches!(self, Self::Text)
    }
}

/// One of the sides of a conflict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// Who wrote it; `None` when the writer's actor belongs to no member any more.
    pub node: Option<NodeId>,
    /// What it says.
    pub text: String,
    /// When, by the author's clock.
    pub hlc: Timestamp,
}

/// One item of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The same on every node.
    pub id: ConflictId,
    /// Its kind.
    pub kind: ConflictKind,
    /// The file.
    pub file: FileId,
    /// Where the file lies, or lay.
    pub path: VaultPath,
    /// The front matter key of a field conflict.
    pub field: Option<String>,
    /// In which line of the file a text conflict is shown.
    pub line: Option<usize>,
    /// What was there before the sides parted; none where nothing was, or where it is not known any more.
    pub base: Option<String>,
    /// What each side says, in a fixed order.
    pub sides: Vec<Side>,
    /// What is shown meanwhile.
    pub merged: String,
    /// The active content that waits.
    pub found: Vec<Finding>,
}

/// The id of the conflict between two things, in whichever order they are found.
pub fn id_of(file: FileId, what: &str, one: Value, other: Value) -> ConflictId {
    let (one, other) = (cbor::encode(&one), cbor::encode(&other));
    let (min, max) = if one <= other { (one, other) } else { (other, one) };
    let parts = [file.to_value(), cbor::text(what), cbor::bytes(&min), cbor::bytes(&max)];
    ConflictId(Hash::labelled("aiemp-node 2026 conflict", parts))
}

/// Who put a file away, of those whose word stands.
pub(crate) fn archivings(archived: &Register<bool>) -> impl Iterator<Item = &Origin> {
    archived.writes().filter(|(_, archived)| **archived).map(|(origin, _)| origin)
}

/// Of each of their authors the first: one item stands for all that one of them said at once.
pub(crate) fn archivers(archived: &Register<bool>) -> impl Iterator<Item = &Origin> {
    let mut first: BTreeMap<NodeId, &Origin> = BTreeMap::new();
    for archiving in archivings(archived) {
        let of_author = first.entry(archiving.author()).or_insert(archiving);
        if archiving.hash < of_author.hash {
            *of_author = archiving;
        }
    }
    first.into_values()
}

/// Whether an archiving knew of an edit: one made on a stale copy after it was not known either.
pub(crate) fn knows_edit(archiving: &Origin, edit: &Origin) -> bool {
    let is_beside = edit.author() == archiving.author() && !archiving.is_before(edit);
    edit.is_before(archiving) || is_beside
}

/// Whether an archiving knew of the content that is shown.
pub(crate) fn knows_content(
    archiving: &Origin,
    base: &Register<ContentRef>,
    written: &Origin,
    content: &ContentRef,
) -> bool {
    let mut same = base.all().filter(|(_, other)| other.hash == content.hash);
    // As with edits: what its author wrote beside it was at hand, what came after it was made on a stale copy.
    let is_beside = written.author() == archiving.author() && !archiving.is_before(written);
    is_beside || same.any(|(origin, _)| origin.is_before(archiving))
}

/// Edits that the shown archiving did not know of, each with the archiving: concurrent, or made on a stale copy after.
/// Of each author the last, for it stands for those before.
pub fn edits_past_archive(record: &FileRecord) -> Vec<(&ChangeRef, &Origin)> {
    if !record.is_archived() {
        return Vec::new();
    }
    archivers(&record.archived)
        .flat_map(|archiving| {
            let mut last: BTreeMap<NodeId, &ChangeRef> = BTreeMap::new();
            for change in record.changes().iter().filter(|change| !knows_edit(archiving, &change.origin)) {
                let place = |change: &ChangeRef| (change.origin.hlc, change.origin.hash, change.hash);
                let of_author = last.entry(change.origin.author()).or_insert(change);
                if place(change) > place(of_author) {
                    *of_author = change;
                }
            }
            last.into_values().map(move |change| (change, archiving))
        })
        .collect()
}

/// Who wrote the content that is shown, with each archiving that did not know of it.
pub fn contents_past_archive(record: &FileRecord) -> Vec<(&Origin, &Origin)> {
    let Some((written, base)) = record.base.writes().next().filter(|_| record.is_archived()) else { return Vec::new() };
    let all = archivers(&record.archived);
    let unknown = all.filter(|archiving| !knows_content(archiving, &record.base, written, base));
    unknown.map(|archiving| (written, archiving)).collect()
}

/// Who said that the file stays, of each author the last, with each archiving that did not know of that word, and of
/// which it did not know either.
pub fn words_past_archive(record: &FileRecord) -> Vec<(&Origin, &Origin)> {
    let mut last: BTreeMap<NodeId, &Origin> = BTreeMap::new();
    for (word, _) in record.archived.writes().filter(|(_, archived)| !**archived) {
        let place = |word: &Origin| (word.hlc, word.hash);
        let of_author = last.entry(word.author()).or_insert(word);
        if place(word) > place(of_author) {
            *of_author = word;
        }
    }
    archivers(&record.archived).flat_map(|archiving| last.values().map(move |word| (*word, archiving))).collect()
}

/// Whether the note went out of sight without something that was written, or somebody said that it stays.
pub fn is_late(record: &FileRecord) -> bool {
    !edits_past_archive(record).is_empty()
        || !contents_past_archive(record).is_empty()
        || !words_past_archive(record).is_empty()
}

/// The id of the conflict between an archiving and what was written, a change or a content, or a word that the file stays.
pub fn archive_edit_id(file: FileId, written: Value, archiving: &Origin) -> ConflictId {
    id_of(file, "archive", archiving.hash.to_value(), written)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aiemp_keys::Signer;
    use aiemp_protocol::{
        causality::Past,
        entry::{FieldWrite, FileKind, Item},
        ids::{Audience, ContentHash, EntryHash, LogId},
        zone::Zone,
    };

    use super::*;
    use crate::index::Index;

    #[test]
    fn what_a_node_writes_to_a_file_that_it_put_away_is_listed() {
        let file = FileId { zone: Zone::Drafts, hash: Hash::of_content(b"file") };
        let author = Signer::from_seed([1; 32]).node_id();
        let log = LogId { author, generation: 0, audience: Audience::All };
        let content = |bytes: &[u8]| FieldWrite::Base(ContentRef::of(bytes));
        let path = VaultPath::parse("Plans/a.bin").expect("a path");
        let (base, length) = (ContentHash::of(b"one"), 3);
        let mut index = Index::default();
        let mut apply = |seq: u64, item: Item| {
            let hash = EntryHash(Hash::of_content(&seq.to_le_bytes()));
            index.apply(
                &item,
                &Arc::new(Origin { log, seq, hash, hlc: Timestamp::default(), past: Past::default() }),
                |_| true,
            );
            index.get(file).is_some_and(is_late)
        };
        assert!(!apply(1, Item::New { file, path, kind: FileKind::Blob, base, length }));
        assert!(!apply(2, Item::Set { file, write: content(b"two") }));
        assert!(!apply(3, Item::Set { file, write: FieldWrite::Archived(true) }), "it knew of that");
        assert!(apply(4, Item::Set { file, write: content(b"three") }), "nobody sees it otherwise");
        assert!(!apply(5, Item::Set { file, write: FieldWrite::Archived(false) }));
    }
}
