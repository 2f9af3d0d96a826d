//! Names: which of the files that contend for a place has it, and where the others lie.

mod contenders;

use std::{
    borrow::Borrow,
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    ops::Bound,
    sync::Arc,
};

use aiemp_keys::Hash;
use aiemp_protocol::{
    ids::{Audience, FileId},
    time::Timestamp,
    vault_path::VaultPath,
    zone::Zone,
};

use self::contenders::Contenders;
use super::Boundaries;
use crate::{index::Index, sight};

/// The last number that a name gets: where a file goes, all numbers after its own fall by one, and each of those files
/// waits for the place of the one before. Files beyond it have their id in their names, and so have those whose names
/// have no room for a number, or that lie below what is a file itself.
pub(super) const NUMBER_MAX: usize = 20;

/// Who comes first where files contend for a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// A shared file that a person's node gave its name: no other member takes it away.
    Person,
    /// A shared file whose name others gave it.
    Others,
    /// A private one. Nodes that do not know of it show the shared ones at the same places.
    Private,
}

/// When a file was named that comes after all others of its class.
const LAST: Timestamp = Timestamp::from_millis(u64::MAX);

const CLASSES: [Class; 3] = [Class::Person, Class::Others, Class::Private];

/// A live file's place among those that contend with it: of one class, the one that was named first comes first.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    key: Arc<str>,
    class: Class,
    at: Timestamp,
}

type OfOneName = Contenders<(Timestamp, FileId)>;

/// Where the live files belong. A function of the index and of who names first; kept in step with both.
#[derive(Debug, Default)]
pub(super) struct Names {
    named: BTreeMap<FileId, Named>,
    /// By class and key.
    by_key: [BTreeMap<Arc<str>, OfOneName>; CLASSES.len()],
    /// How many names of each class lie below each folder.
    folders: BTreeMap<String, [usize; CLASSES.len()]>,
    /// Names that more than one file has.
    twins: BTreeSet<Arc<str>>,
    /// The places of files that share a name. Each load and write of one asks for its own, and to number it is to number
    /// all before it.
    shared: BTreeMap<Arc<str>, BTreeMap<FileId, VaultPath>>,
}

impl Names {
    /// What is known of the file changed, or who names first; says whether that matters here.
    pub(super) fn update(&mut self, index: &Index, file: FileId, boundaries: &dyn Boundaries) -> bool {
        let now = Named::of(index, file, boundaries);
        let before = self.named.remove(&file);
        let is_changed = before != now;
        if let Some(Named { key, class, at }) = before.filter(|_| is_changed) {
            let of_class = &mut self.by_key[class as usize];
            if of_class.get_mut(&key).is_some_and(|files| !files.remove((at, file))) {
                of_class.remove(&key);
                self.leave_folders(&key, class);
            }
            if self.namesakes(&key).nth(1).is_none() {
                self.twins.remove(&key);
            }
        }
        if is_changed {
            self.shared.clear();
            if let Some(Named { key, class, at }) = &now {
                match self.by_key[*class as usize].entry(key.clone()) {
                    Entry::Vacant(free) => {
                        free.insert(Contenders::One((*at, file)));
                        self.enter_folders(key, *class);
                    }
                    Entry::Occupied(mut taken) => taken.get_mut().insert((*at, file)),
                }
                if self.namesakes(key).nth(1).is_some() {
                    self.twins.insert(key.clone());
                }
            }
        }
        self.named.extend(now.map(|now| (file, now)));
        is_changed
    }

    fn enter_folders(&mut self, key: &str, class: Class) {
        for folder in folders_of(key) {
            match self.folders.get_mut(folder) {
                Some(names) => names[class as usize] += 1,
                None => {
                    let mut names = [0; CLASSES.len()];
                    names[class as usize] = 1;
                    self.folders.insert(folder.to_owned(), names);
                }
            }
        }
    }

    fn leave_folders(&mut self, key: &str, class: Class) {
        for folder in folders_of(key) {
            let Some(names) = self.folders.get_mut(folder) else { continue };
            names[class as usize] -= 1;
            if *names == [0; CLASSES.len()] {
                self.folders.remove(folder);
            }
        }
    }

    /// Live files of this name, the first that has a right to it first.
    pub(super) fn namesakes(&self, key: &str) -> impl Iterator<Item = FileId> {
        let contenders = self.by_key.iter().filter_map(|of_class| of_class.get(key));
        contenders.flat_map(Contenders::iter).map(|(_, file)| *file)
    }

    /// The first files of each name that several have, each with its place. Of one name there may be thousands, and nobody
    /// looks at them one by one.
    pub(super) fn twins<'a>(&'a self, index: &'a Index) -> impl Iterator<Item = Vec<(FileId, Option<VaultPath>)>> + 'a {
        self.twins.iter().map(|key| {
            let mut places = self.places(index, key, NUMBER_MAX);
            self.namesakes(key).take(NUMBER_MAX).map(|file| (file, places.remove(&file))).collect()
        })
    }

    /// The path with the first number that nothing has as its name.
    pub(super) fn numbered(&self, path: &VaultPath) -> Option<VaultPath> {
        self.free_numbers(path, Class::Private).next()
    }

    /// Live files below a folder of this name.
    pub(super) fn below(&self, key: &str) -> Vec<FileId> {
        let folder = format!("{key}/");
        let below = self.by_key.iter().flat_map(|of_class| from(of_class, &folder));
        below.flat_map(|(_, files)| files.iter()).map(|(_, file)| *file).collect()
    }

    /// A key of the file, in one piece with the one that it is named by where they are the same.
    pub(super) fn shared_key(&self, file: FileId, key: &str) -> Arc<str> {
        let named = self.named.get(&file).filter(|named| *named.key == *key);
        named.map_or_else(|| key.into(), |named| Arc::clone(&named.key))
    }

    /// How many files are in sight.
    pub(super) fn len(&self) -> usize {
        self.named.len()
    }

    /// Whether the file is in sight.
    pub(super) fn has_file(&self, file: FileId) -> bool {
        self.named.contains_key(&file)
    }

    /// Whether the file can keep a folder of its name away.
    pub(super) fn stands(&self, file: FileId) -> bool {
        self.named.get(&file).is_some_and(|named| named.class != Class::Private)
    }

    /// The live file whose id a name holds.
    pub(super) fn held_in_name(&self, path: &VaultPath) -> Option<FileId> {
        let digits: String = path.name().rsplit_once(" (")?.1.chars().take_while(char::is_ascii_hexdigit).collect();
        let hash: Hash = digits.parse().ok()?;
        self.named.keys().find(|file| file.hash == hash).copied()
    }

    /// Where a live file belongs.
    ///
    /// Of files with one name the first has it bare, unless a folder is called so; the others get a number that nothing
    /// else has as its name. A folder makes way only for a file of a class that none below it has: those lie beside that
    /// file then.
    pub(super) fn wanted(&mut self, index: &Index, file: FileId) -> Option<VaultPath> {
        let named = self.named.get(&file)?;
        let path = index.get(file)?.path.shown()?;
        let (key, class) = (&named.key, named.class);
        if let Some(depth) = self.depth_of_file_above(key, class) {
            return self.with_id(path, depth, file, class);
        }
        if self.namesakes(key).next() == Some(file) && !self.is_folder(key, class) {
            return Some(path.clone());
        }
        if !self.shared.contains_key(key) {
            let (key, places) = (key.clone(), self.places(index, key, usize::MAX));
            self.shared.insert(key, places);
        }
        let key = &self.named.get(&file)?.key;
        self.shared.get(key)?.get(&file).cloned()
    }

    /// Where the first so many files of one name belong.
    fn places(&self, index: &Index, key: &str, count: usize) -> BTreeMap<FileId, VaultPath> {
        // A number belongs to a spelling: of two that are one name, only one may have room for it, or be alone with it.
        let mut numbered = BTreeMap::new();
        let mut places = BTreeMap::new();
        let mut numbers_given = 0;
        for file in self.namesakes(key).take(count) {
            let Some(path) = index.get(file).and_then(|record| record.path.shown()) else { continue };
            let Some(class) = self.named.get(&file).map(|named| named.class) else { continue };
            if places.is_empty() && !self.is_folder(key, class) {
                places.insert(file, path.clone());
                continue;
            }
            let (passed, numbers) =
                numbered.entry((path, class == Class::Private)).or_insert_with(|| (0, self.free_numbers(path, class)));
            let place = numbers.nth(numbers_given - *passed);
            numbers_given += 1;
            *passed = numbers_given;
            let place = place.or_else(|| self.with_id(path, path.as_str().matches('/').count(), file, class));
            places.extend(place.map(|place| (file, place)));
        }
        places
    }

    /// The path with each number that nothing has as its name.
    fn free_numbers<'a>(&'a self, path: &'a VaultPath, class: Class) -> impl Iterator<Item = VaultPath> + 'a {
        let numbered = (2..=NUMBER_MAX).filter_map(|number| path.with_stem_suffix(&format!(" ({number})")).ok());
        numbered.filter(move |numbered| self.is_free(&numbered.key(), class))
    }

    /// A place that no file can be kept from: so many folders deep, or as many as leave room for the name, which holds
    /// the file's id. Whoever takes that name in advance has to take the next one, too, and so on without end.
    fn with_id(&self, path: &VaultPath, depth: usize, file: FileId, class: Class) -> Option<VaultPath> {
        let folders: Vec<_> = path.folder().split('/').filter(|name| !name.is_empty()).take(depth).collect();
        let depth_of_zone = match file.zone {
            Zone::Claim(_) => 2,
            Zone::Intake | Zone::Drafts | Zone::Owner => 1,
            Zone::Private => 0,
        };
        (depth_of_zone.min(folders.len())..=folders.len()).rev().find_map(|depth| {
            let beside = VaultPath::join(&folders[..depth].join("/"), path.name()).ok()?;
            let suffixes = (1_usize..).map(|nth| match nth {
                1 => format!(" ({})", file.hash),
                nth => format!(" ({} {nth})", file.hash),
            });
            let places = suffixes.map_while(|suffix| beside.with_fitted_suffix(&suffix).ok());
            places.into_iter().find(|place| self.is_free(&place.key(), class))
        })
    }

    /// Whether nothing is called so, as far as a file of this class minds.
    fn is_free(&self, key: &str, class: Class) -> bool {
        let minds = |other: &Class| class == Class::Private || *other != Class::Private;
        CLASSES.into_iter().filter(minds).all(|other| !self.has(other, key) && !self.has_below(other, key))
    }

    fn has(&self, class: Class, key: &str) -> bool {
        self.by_key[class as usize].contains_key(key)
    }

    fn has_below(&self, class: Class, key: &str) -> bool {
        self.folders.get(key).is_some_and(|names| names[class as usize] > 0)
    }

    /// Whether a folder keeps files of this class from the name.
    fn is_folder(&self, key: &str, class: Class) -> bool {
        CLASSES.into_iter().any(|below| below <= class && self.has_below(below, key))
    }

    /// How many folders deep the file lies that the topmost folder makes way for.
    fn depth_of_file_above(&self, key: &str, class: Class) -> Option<usize> {
        folders_of(key).enumerate().find_map(|(depth, above)| {
            let stands = CLASSES.into_iter().find(|named| *named < class && self.has(*named, above))?;
            (!self.is_folder(above, stands)).then_some(depth)
        })
    }
}

/// The folders that a name lies in, the topmost first.
fn folders_of(key: &str) -> impl Iterator<Item = &str> {
    key.match_indices('/').map(|(end, _)| &key[..end])
}

/// The keys that begin with this.
pub(super) fn from<'a, K: Ord + Borrow<str>, T>(
    names: &'a BTreeMap<K, T>,
    start: &'a str,
) -> impl Iterator<Item = (&'a K, &'a T)> {
    names
        .range::<str, _>((Bound::Included(start), Bound::Unbounded))
        .take_while(move |(key, _)| (*key).borrow().starts_with(start))
}

impl Named {
    fn of(index: &Index, file: FileId, boundaries: &dyn Boundaries) -> Option<Self> {
        let names_first = |author| boundaries.names_first(author);
        let record = index.get(file).filter(|record| record.base.shown().is_some())?;
        if !sight::is_in_sight(index, file, names_first) {
            return None;
        }
        let (shown, path) = record.path.writes().next()?;
        let key = path.key();
        let is_same = |written: &VaultPath| written == path || written.key() == key;
        let by_person = record
            .path
            .all()
            .filter(|(origin, written)| names_first(origin.author()) && is_same(written))
            .map(|(origin, _)| origin.hlc)
            .min();
        let (class, at) = match (file.zone.audience(), by_person) {
            (Audience::Local, at) => (Class::Private, at.unwrap_or(shown.hlc)),
            (Audience::All, Some(at)) => (Class::Person, at),
            (Audience::All, None) => (Class::Others, shown.hlc),
        };
        // What somebody deleted had left its name to others.
        Some(Self { key: key.into(), class, at: if record.is_archived() { LAST } else { at } })
    }
}

#[cfg(test)]
mod tests;
