//! The index: a map of multi-value registers `(file, field)`, and the claims, derived from log items alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use aiemp_keys::NodeId;
use aiemp_protocol::{
    causality::Past,
    entry::{ContentRef, FieldWrite, FileKind, Item},
    ids::{ContentHash, EntryHash, FileId, LogId},
    limits::{CHANGE_COST, CHANGES_COST_MAX},
    time::Timestamp,
    vault_path::VaultPath,
    zone::Zone,
};

use crate::{claim::Claims, shape::Shape};

pub use compaction::{Compaction, Start};

mod compaction;

/// An entry as far as its writes need it: who wrote, when, knowing what.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The entry's log.
    pub log: LogId,
    /// Its position.
    pub seq: u64,
    /// Its hash: breaks ties between concurrent writes.
    pub hash: EntryHash,
    /// Its hybrid time.
    pub hlc: Timestamp,
    /// What its author had of other logs.
    pub past: Past,
}

impl Origin {
    /// The author.
    pub const fn author(&self) -> NodeId {
        self.log.author
    }

    /// Whether this entry lies in the causal past of `later`.
    pub fn is_before(&self, later: &Self) -> bool {
        if self.log == later.log { self.seq <= later.seq } else { later.past.contains(self.log, self.seq) }
    }
}

/// A write of a register.
#[derive(Clone, Debug)]
struct Written<T> {
    origin: Arc<Origin>,
    value: T,
    /// Whether the file's id says as much: then all such writes are one, whoever makes it. Of a day log it says the place,
    /// and of one that somebody began the content, which is none.
    is_given: bool,
}

/// A multi-value register: a write replaces exactly the writes in its causal past; concurrent ones are all kept. Whoever
/// knew one given write knew each.
#[derive(Clone, Debug)]
pub struct Register<T> {
    writes: Vec<Written<T>>,
    /// None of a register that was written once: most are.
    earlier: Option<Box<Earlier<T>>>,
}

/// What a register of several writes keeps of those before.
#[derive(Clone, Debug)]
struct Earlier<T> {
    /// What later writes replaced, in the order they came; for undo.
    replaced: Vec<Written<T>>,
    given: Option<Given>,
}

/// Of a file that several may make: who said what its id says.
#[derive(Clone, Debug, Default)]
struct Given {
    /// The first to say so in each log: whoever knew a later one knew that.
    first: Vec<Arc<Origin>>,
    /// Whether it was replaced. What is said of it afterwards is no news.
    is_over: bool,
}

impl<T> Default for Register<T> {
    fn default() -> Self {
        Self { writes: Vec::new(), earlier: None }
    }
}

impl<T> Default for Earlier<T> {
    fn default() -> Self {
        Self { replaced: Vec::new(), given: None }
    }
}

impl<T: Clone> Register<T> {
    fn write(&mut self, written: Written<T>) {
        if !self.writes.is_empty() && self.replace_by(&written) {
            return self.earlier.get_or_insert_default().replaced.push(written);
        }
        // Of most registers there is one write for ever, of three for each file.
        self.writes.reserve_exact(1);
        self.writes.push(written);
        self.writes.sort_by_key(|written| written.origin.hash);
    }

    /// Takes away what a write replaces; whether it is itself replaced already.
    fn replace_by(&mut self, written: &Written<T>) -> bool {
        let earlier = self.earlier.get_or_insert_default();
        let mut replaces_given = false;
        if let Some(only) =
            self.writes.first().filter(|only| earlier.given.is_none() && (only.is_given || written.is_given))
        {
            let first = only.is_given.then(|| Arc::clone(&only.origin));
            earlier.given = Some(Given { first: first.into_iter().collect(), is_over: false });
        }
        if let Some(given) = &mut earlier.given {
            if written.is_given && given.is_over {
                return true;
            }
            if written.is_given && given.first.iter().all(|first| first.log != written.origin.log) {
                given.first.push(Arc::clone(&written.origin));
            }
            replaces_given = !written.is_given && given.first.iter().any(|first| first.is_before(&written.origin));
            given.is_over |= replaces_given;
        }
        let is_replaced =
            |old: &mut Written<T>| old.origin.is_before(&written.origin) || (old.is_given && replaces_given);
        earlier.replaced.extend(self.writes.extract_if(.., is_replaced));
        false
    }

    fn replaced(&self) -> &[Written<T>] {
        self.earlier.as_ref().map_or(&[], |earlier| &earlier.replaced)
    }

    /// The register as it would be had some writes never been.
    pub fn without(&self, undone: impl Fn(&Origin) -> bool) -> Self {
        let mut register = Self::default();
        // In this order no write comes before one that it replaces.
        for written in self.replaced().iter().chain(&self.writes).filter(|written| !undone(&written.origin)) {
            register.write(written.clone());
        }
        register
    }

    /// The value shown: that of the lowest entry hash.
    pub fn shown(&self) -> Option<&T> {
        self.writes.first().map(|written| &written.value)
    }

    /// What was there before the concurrent writes parted: the last that all of them had seen.
    pub fn before_parting(&self) -> Option<&T> {
        let is_seen = |origin: &Origin| self.writes.iter().all(|later| origin.is_before(&later.origin));
        let mut last: Vec<&Written<T>> = Vec::new();
        // From the back no write comes before one that replaced it.
        for write in self.replaced().iter().rev().filter(|write| is_seen(&write.origin)) {
            if !last.iter().any(|later| write.origin.is_before(&later.origin)) {
                last.push(write);
            }
        }
        last.into_iter().min_by_key(|write| write.origin.hash).map(|write| &write.value)
    }

    /// Whether any write, replaced or not, is one of these.
    pub fn has_any(&self, of: impl Fn(&Origin) -> bool) -> bool {
        self.all().any(|(origin, _)| of(origin))
    }

    /// All writes, replaced or not; none comes before one that it replaced.
    pub fn all(&self) -> impl Iterator<Item = (&Origin, &T)> {
        self.replaced().iter().chain(&self.writes).map(|written| (&*written.origin, &written.value))
    }

    /// All that ever was the value.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.all().map(|(_, value)| value)
    }

    fn origins(&self) -> Vec<&Origin> {
        self.all().map(|(origin, _)| origin).collect()
    }

    fn count(&self) -> usize {
        self.replaced().len() + self.writes.len()
    }

    /// All concurrent writes.
    pub fn writes(&self) -> impl Iterator<Item = (&Origin, &T)> {
        self.writes.iter().map(|written| (&*written.origin, &written.value))
    }
}

impl Register<bool> {
    /// Whether somebody's word that it is so stands.
    pub fn is_said(&self) -> bool {
        self.writes().any(|(_, value)| *value)
    }
}

/// One automerge change of a file, by reference.
#[derive(Clone, Debug)]
pub struct ChangeRef {
    /// The entry that carries it.
    pub origin: Arc<Origin>,
    /// The base of its document.
    pub base: ContentHash,
    /// Its payload.
    pub hash: ContentHash,
    /// How long that is: bytes of another length are not this change.
    pub length: u64,
}

impl ChangeRef {
    /// What its entry calls its payload.
    pub const fn named(&self) -> ContentRef {
        ContentRef { hash: self.hash, length: self.length }
    }
}

/// What the logs say of one file.
#[derive(Clone, Debug, Default)]
pub struct FileRecord {
    /// Where it lies.
    pub path: Register<VaultPath>,
    /// How its bytes are understood.
    pub kind: Register<FileKind>,
    /// The content its document starts from.
    pub base: Register<ContentRef>,
    /// Whether it is out of sight.
    pub archived: Register<bool>,
    /// Whether it lay in a vault before the node of that vault was: its id says so, of a place and a content.
    pub is_adopted: bool,
    /// What its text is for life, of a day log.
    day_log: Option<Shape>,
    /// None of a file that is as it began: most are.
    later: Option<Box<Later>>,
}

/// What came after the first content of a file.
#[derive(Clone, Debug, Default)]
struct Later {
    /// Its changes in the order they applied here.
    changes: Vec<ChangeRef>,
    /// Where its documents start anew, in the order they applied here.
    compactions: Vec<Compaction>,
    /// All that its documents ever started from, sorted. Of one alone the register of the base knows.
    bases: Vec<ContentHash>,
    /// What the changes of each document and log cost, sorted.
    costs: Vec<((ContentHash, LogId), u64)>,
}

impl FileRecord {
    /// Takes a change, unless its log has said more of the document than anybody need read: in a log all nodes see the
    /// same come first, so they leave out the same.
    fn add_change(&mut self, change: ChangeRef, names_first: impl Fn(NodeId) -> bool) {
        let later = self.later.get_or_insert_default();
        let key = (change.base, change.origin.log);
        let at = match later.costs.binary_search_by_key(&key, |(key, _)| *key) {
            Ok(at) => at,
            Err(at) => {
                later.costs.insert(at, (key, 0));
                at
            }
        };
        let (_, cost) = &mut later.costs[at];
        *cost = cost.saturating_add(CHANGE_COST).saturating_add(change.length);
        if *cost <= CHANGES_COST_MAX {
            if names_first(change.origin.author()) {
                later.judge_compactions(change.base, &change.origin);
            }
            later.changes.push(change);
        }
    }

    /// Its changes in the order they applied here.
    pub fn changes(&self) -> &[ChangeRef] {
        self.later.as_ref().map_or(&[], |later| &later.changes)
    }

    fn bases(&self) -> &[ContentHash] {
        self.later.as_ref().map_or(&[], |later| &later.bases)
    }

    /// Whether the log may change the document for long: where not, an edit starts it anew.
    pub fn has_room(&self, base: ContentHash, log: LogId) -> bool {
        let costs = self.later.as_ref().map_or(&[][..], |later| &later.costs);
        let cost = costs.binary_search_by_key(&(base, log), |(key, _)| *key).map_or(0, |at| costs[at].1);
        cost <= CHANGES_COST_MAX / 2
    }

    /// Whether somebody put the file out of sight, whatever others did without having heard of it.
    pub fn is_archived(&self) -> bool {
        self.archived.is_said()
    }

    /// What its text is.
    pub fn shape(&self) -> Shape {
        self.day_log.or_else(|| self.path.shown().map(Shape::of_name)).unwrap_or_default()
    }

    /// Whether a document of it ever started from this.
    pub fn had_base(&self, hash: ContentHash) -> bool {
        match self.bases() {
            [] => self.base.values().next().is_some_and(|only| only.hash == hash),
            bases => bases.binary_search(&hash).is_ok(),
        }
    }

    /// Whether they ever started from more than one content.
    pub fn had_bases(&self) -> bool {
        self.bases().len() > 1
    }

    fn write_base(&mut self, origin: &Arc<Origin>, content: ContentRef, is_given: bool) {
        let is_first = self.base.count() == 0 && self.bases().is_empty();
        if !is_first {
            self.note_base(content.hash);
        }
        self.base.write(Written { origin: Arc::clone(origin), value: content, is_given });
    }

    fn note_base(&mut self, hash: ContentHash) {
        if self.had_base(hash) {
            return;
        }
        let bases = &mut self.later.get_or_insert_default().bases;
        if bases.is_empty() {
            bases.extend(self.base.values().next().map(|only| only.hash));
        }
        bases.insert(bases.partition_point(|known| *known < hash), hash);
    }

    /// Whether these bytes are what its log names: a digest with a length that is not its own names nothing, or one file
    /// could be put on disk many times at the cost of once.
    pub fn names(&self, hash: ContentHash, bytes: &[u8]) -> bool {
        let named = ContentRef { hash, length: bytes.len() as u64 };
        // Who says it once more with another length takes nothing from it.
        self.contents().any(|(_, content)| *content == named)
    }

    /// The changes of the document that is shown.
    pub fn current_changes(&self) -> impl Iterator<Item = &ChangeRef> {
        let base = self.shown_base();
        self.changes().iter().filter(move |change| Some(change.base) == base)
    }

    /// The changes of the document that starts from this content.
    pub fn changes_under(&self, base: ContentHash) -> impl Iterator<Item = &ChangeRef> {
        self.changes().iter().filter(move |change| change.base == base)
    }

    /// Everybody who ever wrote the file or its place: content, changes, path, and its being put away or back.
    pub fn authors(&self) -> BTreeSet<NodeId> {
        let registers = [self.path.origins(), self.kind.origins(), self.base.origins(), self.archived.origins()];
        let changes = self.changes().iter().map(|change| &*change.origin);
        registers.into_iter().flatten().chain(changes).map(Origin::author).collect()
    }

    /// Counts what made the text that is shown: equal counts stand for one text, where there is a change to it at all.
    ///
    /// Another content may have as many changes as the one before, whoever wrote it anew or let it start anew, and bytes have
    /// none to show, so all of these count as well.
    pub fn text_writes(&self) -> u64 {
        let contents = self.base.count() + self.compactions().len();
        let is_edited = self.current_changes().next().is_some();
        if is_edited { (contents + self.kind.count() + self.changes().len()) as u64 } else { 0 }
    }

    /// Whether others changed the document, so that its fields may conflict, or something of it may not be taken.
    ///
    /// That one entry had seen the other says nothing: a save over what lay on disk before follows from that alone.
    pub fn has_changes_of_others(&self, me: NodeId) -> bool {
        self.current_changes().any(|change| change.origin.author() != me)
    }
}

/// All files that the logs of this node's audiences speak of.
#[derive(Debug, Default)]
pub struct Index {
    /// Apart, for a tree leaves up to half of its room free.
    files: BTreeMap<FileId, Box<FileRecord>>,
    claims: Claims,
}

impl Index {
    /// Applies one item; answers the file it speaks of. Whose word counts first is asked for by member, and never changes.
    pub fn apply(&mut self, item: &Item, origin: &Arc<Origin>, names_first: impl Fn(NodeId) -> bool) -> Option<FileId> {
        if let Item::Claim { work, to, lease_ms, .. } = item {
            self.claims.apply(*work, origin, *to, *lease_ms);
            self.claims.follow_drafts(to.moved_to(Zone::Drafts), *to, |id| self.files.contains_key(&id));
        }
        let (Item::New { file, .. }
        | Item::Set { file, .. }
        | Item::Change { file, .. }
        | Item::Compacted { file, .. }) = item
        else {
            return None;
        };
        if let (Item::New { .. }, Some(copy)) = (item, self.claims.copy_behind(*file)) {
            self.claims.follow_drafts(*file, copy, |id| id == *file || self.files.contains_key(&id));
        }
        let record = self.files.entry(*file).or_default();
        match item {
            Item::New { path, kind, base, length, .. } => {
                let is_adopted = FileId::adopted(file.zone, &path.key(), *base) == *file;
                record.is_adopted |= is_adopted;
                let day_log = Shape::of_file(*file, path);
                let is_given = is_adopted || day_log.is_some();
                record.day_log = day_log.or(record.day_log);
                record.path.write(Written { origin: Arc::clone(origin), value: path.clone(), is_given });
                record.kind.write(Written { origin: Arc::clone(origin), value: *kind, is_given });
                let is_given = is_adopted || (day_log.is_some() && *base == ContentHash::of(b""));
                record.write_base(origin, ContentRef { hash: *base, length: *length }, is_given);
            }
            Item::Set { write, .. } => {
                let origin = Arc::clone(origin);
                match write.clone() {
                    FieldWrite::Path(value) => record.path.write(Written { origin, value, is_given: false }),
                    FieldWrite::Kind(value) => record.kind.write(Written { origin, value, is_given: false }),
                    FieldWrite::Base(value) => record.write_base(&origin, value, false),
                    FieldWrite::Archived(value) => record.archived.write(Written { origin, value, is_given: false }),
                }
            }
            Item::Change { base, hash, length, .. } => {
                let change = ChangeRef { origin: Arc::clone(origin), base: *base, hash: *hash, length: *length };
                record.add_change(change, names_first);
            }
            Item::Compacted { from, base, length, .. } => {
                record.compact(origin, (*from, ContentRef { hash: *base, length: *length }), names_first);
            }
            Item::Claim { .. } | Item::Resolve { .. } => {}
        }
        Some(*file)
    }

    /// What the text of a file is.
    pub fn shape(&self, file: FileId) -> Shape {
        self.get(file).map(FileRecord::shape).unwrap_or_default()
    }

    /// What the logs say of a file.
    pub fn get(&self, file: FileId) -> Option<&FileRecord> {
        self.files.get(&file).map(Box::as_ref)
    }

    /// Who works on what.
    pub const fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Files that ever had a path of this canonical key, in id order.
    pub fn ever_at<'a>(&'a self, key: &'a str) -> impl Iterator<Item = FileId> + 'a {
        let lay_there = move |record: &FileRecord| record.path.values().any(|path| path.key() == key);
        self.files.iter().filter(move |(_, record)| lay_there(record)).map(|(file, _)| *file)
    }

    /// Every file, in id order.
    pub fn iter(&self) -> impl Iterator<Item = (FileId, &FileRecord)> {
        self.files.iter().map(|(file, record)| (*file, &**record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aiemp_keys::{Hash, Signer};
    use aiemp_protocol::ids::Audience;

    fn origin(author: u8, seq: u64) -> Arc<Origin> {
        let author = Signer::from_seed([author; 32]).node_id();
        let log = LogId { author, generation: 0, audience: Audience::All };
        let hash = EntryHash(Hash::of_content(&seq.to_le_bytes()));
        Arc::new(Origin { log, seq, hash, hlc: Timestamp::default(), past: Past::default() })
    }

    #[test]
    fn what_the_id_of_an_adopted_file_says_is_one_write_in_whatever_order_it_comes() {
        let (path, base) = (VaultPath::parse("Plans/a.md").expect("a path"), ContentHash::of(b"a"));
        let file = FileId::adopted(Zone::Drafts, &path.key(), base);
        let new =
            |base, path: &VaultPath| Item::New { file, path: path.clone(), kind: FileKind::Note, base, length: 1 };
        let moved = VaultPath::parse("Plans/b.md").expect("a path");
        let later = ContentRef::of(b"later");
        let knowing = origin(1, 2);
        // One who adopted it moved it and wrote it anew; another adopted it, or says to, with another content.
        let first = (new(base, &path), origin(1, 1));
        let set = |write| (Item::Set { file, write }, Arc::clone(&knowing));
        let own = [first, set(FieldWrite::Path(moved.clone())), set(FieldWrite::Base(later))];
        let others = [(new(base, &path), origin(2, 3)), (new(ContentHash::of(b"x"), &path), origin(3, 4))];
        for (others, contents) in [(&others[..1], 1), (&others[..], 2)] {
            for at in 0..=own.len() {
                let mut index = Index::default();
                for (item, origin) in own[..at].iter().chain(others).chain(&own[at..]) {
                    index.apply(item, origin, |_| true);
                }
                let record = index.get(file).expect("the file");
                assert_eq!(record.base.writes().count(), contents, "at {at}");
                assert_eq!(record.path.writes().count(), contents, "at {at}");
                assert!(record.base.writes().any(|(_, content)| *content == later), "at {at}");
                // Had the one who moved it never done so, it lies where both found it.
                let undone = record.path.without(|origin| origin.seq == 2);
                assert_eq!(undone.shown(), Some(&path), "at {at}");
            }
        }
    }

    #[test]
    fn a_log_changes_a_document_no_more_than_can_be_read_and_keeps_nobody_else_from_it() {
        let mut index = Index::default();
        let file = FileId { zone: Zone::Drafts, hash: Hash::of_content(b"file") };
        let base = ContentHash::of(b"base");
        let mut add = |author: u8, seq: u64, length: u64| {
            let hash = ContentHash::of(&[author, seq as u8]);
            index.apply(&Item::Change { file, base, length, hash }, &origin(author, seq), |_| true);
            index.get(file).map_or(0, |record| record.changes().len())
        };
        let full = CHANGES_COST_MAX / ((1 << 20) + CHANGE_COST);
        for seq in 1..=full {
            assert_eq!(add(1, seq, 1 << 20), seq as usize);
        }
        assert_eq!(add(1, full + 1, 1 << 20), full as usize, "it is left out");
        assert_eq!(add(1, full + 2, 1), full as usize, "and so is what may follow from it");
        assert_eq!(add(2, 1, 1 << 20), full as usize + 1, "another log is not");
        let record = index.get(file).expect("the file");
        assert!(!record.has_room(base, origin(1, 1).log) && record.has_room(base, origin(2, 1).log));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "how long it takes is what is tested")]
    fn thousands_of_contents_of_one_file_are_looked_up_at_once() {
        let mut index = Index::default();
        let file = FileId { zone: Zone::Drafts, hash: Hash::of_content(b"file") };
        let base = |number: u64| ContentHash::of(&number.to_le_bytes());
        for seq in 0..30_000 {
            let write = FieldWrite::Base(ContentRef { hash: base(seq), length: 0 });
            index.apply(&Item::Set { file, write }, &origin(1, seq), |_| true);
        }
        let record = index.get(file).expect("the file");
        let begun = std::time::Instant::now();
        assert!((0..30_000).all(|number| record.had_base(base(number)) && !record.had_base(base(number + 30_000))));
        // Looked up one by one they take half a minute.
        assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    }
}
