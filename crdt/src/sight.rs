//! Sight: what somebody deleted stays in sight while something was written to it, or said for it, that no deletion knew of.
//!
//! A function of the registers and of who names first, so every node of the audience shows the same. A file that moved on
//! has a successor, and what is written to it late is listed, not shown.

use std::collections::BTreeMap;

use aiemp_keys::NodeId;
use aiemp_protocol::{ids::FileId, zone::Zone};

use crate::{
    claim, conflict,
    index::{FileRecord, Index, Origin, Register},
};

/// Ids that follow each other which are looked at: whoever may write there could take any number of them in advance. What is
/// put further on counts for no successor, so what it came from stays in sight.
pub(crate) const SUCCESSORS_MAX: usize = 64;

/// Whether the file is to be seen: it was not deleted, or is kept, and nobody else has the work that it is a copy for.
pub(crate) fn is_in_sight(index: &Index, file: FileId, names_first: impl Fn(NodeId) -> bool) -> bool {
    let Some(record) = index.get(file) else { return false };
    let is_live = !record.is_archived() || is_kept(index, file, record, (&record.archived, &names_first, &|_| false));
    is_live && !claim::is_hidden(index, file, names_first)
}

/// Whether the file would not be deleted had some entries never been.
pub(crate) fn would_be_live(
    index: &Index,
    file: FileId,
    names_first: impl Fn(NodeId) -> bool,
    left_out: impl Fn(&Origin) -> bool,
) -> bool {
    let Some(record) = index.get(file) else { return false };
    let archived = record.archived.without(&left_out);
    !archived.is_said() || is_kept(index, file, record, (&archived, &names_first, &left_out))
}

/// What a file is judged by: how it was put away, who names first, and the entries that do not count.
type Judged<'a> = (&'a Register<bool>, &'a dyn Fn(NodeId) -> bool, &'a dyn Fn(&Origin) -> bool);

fn is_kept(index: &Index, file: FileId, record: &FileRecord, (archived, names_first, left_out): Judged<'_>) -> bool {
    let deletions: Vec<_> = conflict::archivings(archived).collect();
    if deletions.iter().any(|deletion| has_moved_on(index, file, deletion)) {
        return false;
    }
    // A person who deletes what came back has the last word against all members but people: else such a member could
    // bring it back each time by an edit that says it had not heard.
    let is_last_word = |deletion: &Origin| {
        let mut earlier = archived.all().filter(|(origin, archived)| **archived && origin.hash != deletion.hash);
        names_first(deletion.author())
            && earlier.any(|(origin, _)| names_first(origin.author()) && origin.is_before(deletion))
    };
    let deletions: Vec<_> = deletions.into_iter().map(|deletion| (deletion, is_last_word(deletion))).collect();
    let keeps = |written: &Origin, knows: &dyn Fn(&Origin) -> bool| {
        let is_persons = names_first(written.author());
        deletions.iter().all(|(deletion, is_last_word)| (is_persons || !is_last_word) && !knows(deletion))
    };
    // Who says that the file stays wants it as one does who edits it.
    if archived.writes().any(|(word, archived)| !archived && keeps(word, &|_| false)) {
        return true;
    }
    let mut edits = record.changes().iter().map(|change| &*change.origin).filter(|edit| !left_out(edit));
    if edits.any(|edit| keeps(edit, &|deletion| conflict::knows_edit(deletion, edit))) {
        return true;
    }
    let base = record.base.without(left_out);
    let Some((written, content)) = base.writes().next() else { return false };
    keeps(written, &|deletion| conflict::knows_content(deletion, &base, written, content))
}

/// Whether whoever put the file away had given it a successor: then it was moved, not deleted. A successor in another
/// audience counts for none, for not every node would know of it; nor does a file that another put in its place, but in
/// the owner's zone, where only Locals write.
pub(crate) fn has_moved_on(index: &Index, file: FileId, archiving: &Origin) -> bool {
    let movers = index.get(file).map(|record| movers(record, archiving)).unwrap_or_default();
    let claims = movers.into_keys().map(Zone::Claim);
    let zones = [Zone::Intake, Zone::Drafts, Zone::Owner, Zone::Private].into_iter().chain(claims);
    let mut others = zones.filter(|zone| *zone != file.zone && zone.audience() == file.zone.audience());
    others.any(|zone| has_moved_to(index, file, zone, archiving))
}

/// Whether whoever put the file away had moved it to this zone.
pub(crate) fn has_moved_to(index: &Index, file: FileId, zone: Zone, archiving: &Origin) -> bool {
    successors(index, file, zone, archiving).next().is_some()
}

/// What whoever put the file away had made of it in this zone.
pub(crate) fn successors<'a>(
    index: &'a Index,
    file: FileId,
    zone: Zone,
    archiving: &'a Origin,
) -> impl Iterator<Item = FileId> + 'a {
    let movers = index.get(file).map(|record| movers(record, archiving)).unwrap_or_default();
    let made_by_mover = move |origin: &Origin| {
        let has_moved = || movers.get(&origin.author()).is_some_and(|moved| origin.is_before(moved));
        origin.is_before(archiving) && (zone == Zone::Owner || has_moved())
    };
    let ids = std::iter::successors(Some(file.moved_to(zone)), move |id| Some(id.beside(zone))).take(SUCCESSORS_MAX);
    let known = ids.map_while(|id| index.get(id).map(|record| (id, record)));
    known.filter(move |(_, record)| record.base.has_any(&made_by_mover)).map(|(id, _)| id)
}

/// Who had put the file away when it was put away like this, with their last word: by this one, and by those whom it only
/// repeats, as somebody does who lets the file lie where it went.
fn movers<'a>(record: &'a FileRecord, archiving: &'a Origin) -> BTreeMap<NodeId, &'a Origin> {
    let mut movers = BTreeMap::new();
    for (origin, archived) in record.archived.all().filter(|(origin, _)| origin.is_before(archiving)) {
        if *archived {
            movers.insert(origin.author(), origin);
        } else {
            movers.retain(|_, moved: &mut &Origin| !moved.is_before(origin));
        }
    }
    movers
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aiemp_keys::{Hash, Signer};
    use aiemp_protocol::{
        entry::{ContentRef, FieldWrite, FileKind, Item},
        ids::{Audience, ContentHash, EntryHash, LogId},
        time::Timestamp,
        vault_path::VaultPath,
    };

    use super::*;

    const PERSON: u8 = 1;
    const CLOUD: u8 = 2;

    struct Told {
        index: Index,
        next: [u64; 3],
    }

    fn node(author: u8) -> NodeId {
        Signer::from_seed([author; 32]).node_id()
    }

    fn file() -> FileId {
        FileId { zone: Zone::Drafts, hash: Hash::of_content(b"file") }
    }

    impl Told {
        /// Both know of a note that the person made.
        fn new() -> Self {
            let mut told = Self { index: Index::default(), next: [0; 3] };
            told.make(PERSON, file(), [0, 0]);
            told
        }

        /// Somebody says something, knowing so many entries of the person and of Cloud.
        fn say(&mut self, author: u8, item: Item, knowing: [u64; 2]) -> u64 {
            let seq = self.next[author as usize] + 1;
            self.next[author as usize] = seq;
            let log = |author| LogId { author: node(author), generation: 0, audience: Audience::All };
            let hash = EntryHash(Hash::of_content(&[author, seq as u8]));
            let known = [(PERSON, knowing[0]), (CLOUD, knowing[1])];
            let others = known.into_iter().filter(|(other, seq)| *other != author && *seq > 0);
            let past = others.map(|(other, seq)| (log(other), seq)).collect();
            let hlc = Timestamp::from_millis(seq);
            self.index.apply(&item, &Arc::new(Origin { log: log(author), seq, hash, hlc, past }), |author| {
                author == node(PERSON)
            });
            seq
        }

        fn make(&mut self, author: u8, file: FileId, knowing: [u64; 2]) -> u64 {
            let path = VaultPath::parse("Plans/a.md").expect("a path");
            let (base, length) = (ContentHash::of(b"one"), 3);
            self.say(author, Item::New { file, path, kind: FileKind::Note, base, length }, knowing)
        }

        fn edit(&mut self, author: u8, knowing: [u64; 2]) -> u64 {
            let hash = ContentHash::of(&self.next[author as usize].to_le_bytes());
            let item = Item::Change { file: file(), base: ContentHash::of(b"one"), length: 1, hash };
            self.say(author, item, knowing)
        }

        fn archive(&mut self, author: u8, archived: bool, knowing: [u64; 2]) -> u64 {
            let write = FieldWrite::Archived(archived);
            self.say(author, Item::Set { file: file(), write }, knowing)
        }

        fn is_in_sight(&self) -> bool {
            is_in_sight(&self.index, file(), |author| author == node(PERSON))
        }
    }

    #[test]
    fn an_edit_that_the_deletion_did_not_know_of_keeps_a_note_in_sight_until_somebody_decides() {
        for decides in [PERSON, CLOUD] {
            let mut told = Told::new();
            let deletion = told.archive(PERSON, true, [1, 0]);
            assert!(!told.is_in_sight());
            let edit = told.edit(CLOUD, [1, 0]);
            assert!(told.is_in_sight());
            told.archive(decides, true, [deletion, edit]);
            assert!(!told.is_in_sight(), "who deletes it now knew of the edit");
            let known = [told.next[1], told.next[2]];
            told.archive(decides, false, known);
            assert!(told.is_in_sight());
        }
    }

    #[test]
    fn a_deletion_that_knew_of_the_edit_stands_whoever_else_deleted_it() {
        let mut told = Told::new();
        told.archive(PERSON, true, [1, 0]);
        told.edit(CLOUD, [1, 0]);
        told.archive(CLOUD, true, [1, 1]);
        assert!(!told.is_in_sight());
    }

    #[test]
    fn who_says_that_a_file_stays_keeps_it_in_sight_as_an_edit_does() {
        let mut told = Told::new();
        let away = told.archive(PERSON, true, [1, 0]);
        let edit = told.edit(CLOUD, [1, 0]);
        told.archive(CLOUD, false, [away, edit]);
        assert!(told.is_in_sight());
        told.archive(PERSON, true, [away, edit]);
        let everybody = is_in_sight(&told.index, file(), |_| true);
        assert!(everybody, "neither had heard of the other");
        assert!(!told.is_in_sight(), "a person who says so again has the last word against Cloud");
    }

    #[test]
    fn who_lets_a_file_lie_where_another_moved_it_made_no_deletion_of_the_move() {
        let moved = |again: &[bool]| {
            let mut told = Told::new();
            told.make(CLOUD, file().moved_to(Zone::Claim(node(CLOUD))), [1, 0]);
            let away = told.archive(CLOUD, true, [1, 1]);
            for archived in again {
                told.archive(PERSON, *archived, [told.next[1], away]);
            }
            told.edit(CLOUD, [1, away]);
            told.is_in_sight()
        };
        assert!(!moved(&[true]));
        assert!(!moved(&[true, true]));
        assert!(moved(&[false, true]), "it was back, and was deleted then");
    }

    #[test]
    fn another_content_is_an_edit() {
        let mut told = Told::new();
        told.archive(PERSON, true, [1, 0]);
        let write = FieldWrite::Base(ContentRef::of(b"two"));
        told.say(CLOUD, Item::Set { file: file(), write }, [1, 0]);
        assert!(told.is_in_sight());
    }

    #[test]
    fn what_moved_on_is_not_shown_again_by_a_late_edit() {
        for zone in [Zone::Owner, Zone::Claim(node(PERSON))] {
            let mut told = Told::new();
            told.make(PERSON, file().moved_to(zone), [1, 0]);
            told.archive(PERSON, true, [2, 0]);
            told.edit(CLOUD, [1, 0]);
            assert!(!told.is_in_sight(), "{zone:?}");
        }
    }

    #[test]
    fn a_file_put_in_the_place_of_a_successor_makes_no_move_of_a_deletion() {
        let mut told = Told::new();
        told.make(CLOUD, file().moved_to(Zone::Intake), [1, 0]);
        told.archive(PERSON, true, [1, 1]);
        told.edit(CLOUD, [1, 0]);
        assert!(told.is_in_sight());
    }

    #[test]
    fn ids_that_were_taken_in_advance_are_not_followed_without_end() {
        let mut told = Told::new();
        let mut id = file().moved_to(Zone::Intake);
        for _ in 0..SUCCESSORS_MAX {
            told.make(CLOUD, id, [1, 0]);
            id = id.beside(Zone::Intake);
        }
        told.make(PERSON, id, [1, 0]);
        told.archive(PERSON, true, [2, told.next[2]]);
        told.edit(CLOUD, [1, 0]);
        assert!(told.is_in_sight(), "what lies beyond them is no successor, and the edit is shown");
    }

    #[test]
    fn a_person_deletes_for_good_what_cloud_brought_back_and_another_person_may_still_edit_it() {
        let mut told = Told::new();
        told.archive(PERSON, true, [1, 0]);
        let edit = told.edit(CLOUD, [1, 0]);
        let last = told.archive(PERSON, true, [2, edit]);
        told.edit(CLOUD, [2, 0]);
        assert!(!told.is_in_sight(), "Cloud says it had not heard");
        let everybody = is_in_sight(&told.index, file(), |_| true);
        assert!(everybody, "an edit by a person is one");
        told.archive(CLOUD, false, [last, 0]);
        assert!(told.is_in_sight(), "it may be brought back, as ever, and undone");
    }

    #[test]
    fn what_would_be_seen_without_some_entries() {
        let mut told = Told::new();
        told.archive(PERSON, true, [1, 0]);
        told.edit(CLOUD, [1, 0]);
        let without = |author: u8| {
            let left_out =
                |origin: &Origin| origin.author() == node(author) && origin.seq > u64::from(author == PERSON);
            would_be_live(&told.index, file(), |author| author == node(PERSON), left_out)
        };
        assert!(without(PERSON), "nobody deleted it");
        assert!(!without(CLOUD), "nobody edited it");
    }
}
