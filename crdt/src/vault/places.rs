//! Where files lie: one that was moved to two places, two of one name.

use aiemp_protocol::{
    entry::{FieldWrite, Item},
    ids::FileId,
    vault_path::VaultPath,
};

use super::{Choice, Vault};
use crate::{
    conflict::{self, Conflict, ConflictKind, Side},
    index::{FileRecord, Origin},
};

/// A member may give any number of files one name, and a list of all of them would hide what else is to be decided.
const NAMES_LISTED_MAX: usize = 1_000;

impl Vault {
    /// The item of a file that was moved to several places at once.
    pub(super) fn move_item(&self, file: FileId, record: &FileRecord) -> Option<Conflict> {
        let places = places_of(record);
        let ((first, shown), (last, _)) = (places.first()?, places.last().filter(|_| places.len() > 1)?);
        if !self.is_in_sight(file) {
            return None;
        }
        let side =
            |(by, path): &(&Origin, &VaultPath)| Side { node: Some(by.author()), text: path.to_string(), hlc: by.hlc };
        Some(Conflict {
            id: conflict::id_of(file, "move", first.hash.to_value(), last.hash.to_value()),
            kind: ConflictKind::Move,
            file,
            path: (*shown).clone(),
            field: None,
            line: None,
            base: record.path.before_parting().map(ToString::to_string),
            sides: places.iter().map(side).collect(),
            merged: shown.to_string(),
            found: Vec::new(),
        })
    }

    /// Items for the files that had to give their names to others; of very many the first.
    pub(super) fn name_items(&self) -> Vec<Conflict> {
        let of_name = |files: Vec<(FileId, Option<VaultPath>)>| {
            let mut files = files.into_iter();
            let first = files.next();
            let rest = files.filter_map(move |(file, place)| Some((first.as_ref()?.0, file, place?)));
            rest.filter_map(|(first, file, place)| self.name_item(first, file, &place))
        };
        self.names.twins(&self.index).flat_map(of_name).take(NAMES_LISTED_MAX).collect()
    }

    fn name_item(&self, first: FileId, file: FileId, place: &VaultPath) -> Option<Conflict> {
        let named = |file: FileId| self.index.get(file)?.path.writes().next();
        let ((by_first, path), (by, own)) = (named(first)?, named(file)?);
        let side = |by: &Origin, text: String| Side { node: Some(by.author()), text, hlc: by.hlc };
        let kind = if self.are_adopted_apart(first, file) { ConflictKind::Adoption } else { ConflictKind::Name };
        Some(Conflict {
            id: conflict::id_of(file, kind.as_str(), first.to_value(), file.to_value()),
            kind,
            file,
            path: own.clone(),
            field: None,
            line: None,
            base: None,
            sides: vec![side(by_first, path.to_string()), side(by, place.to_string())],
            merged: place.to_string(),
            found: Vec::new(),
        })
    }

    /// Whether the place is in the file's zone, as every node demands of whoever names it.
    pub(super) fn may_lie(&self, file: FileId, place: &VaultPath) -> bool {
        self.boundaries.zone_of(place).is_ok_and(|zone| zone == file.zone)
    }

    /// Which file gets which place by a choice.
    pub(super) fn place_chosen(&self, item: &Conflict, choice: &Choice) -> Option<(FileId, VaultPath)> {
        self.place_named(item, choice).filter(|(file, place)| self.may_lie(*file, place))
    }

    fn place_named(&self, item: &Conflict, choice: &Choice) -> Option<(FileId, VaultPath)> {
        if item.kind == ConflictKind::Move {
            let places = places_of(self.index.get(item.file)?);
            let number = if let Choice::Side(number) = choice { *number } else { 0 };
            let (_, place) = places.get(number).filter(|_| !matches!(choice, Choice::With(_)))?;
            return Some((item.file, (*place).clone()));
        }
        let place = VaultPath::parse(&item.sides.get(1)?.text).ok()?;
        let first = self.names.namesakes(&item.path.key()).next()?;
        match choice {
            // The other takes the number for its name.
            Choice::Side(0) | Choice::Both => Some((item.file, place)),
            Choice::Side(1) => Some((first, place)),
            Choice::Side(_) | Choice::With(_) => None,
        }
    }

    /// Which file keeps its name by a choice that gives the other of two namesakes a number.
    fn name_kept(&self, item: &Conflict, numbered: FileId) -> Option<(FileId, VaultPath)> {
        if item.kind == ConflictKind::Move {
            return None;
        }
        let first = self.names.namesakes(&item.path.key()).next()?;
        let kept = if numbered == first { item.file } else { first };
        let name = self.index.get(kept)?.path.shown()?.clone();
        (kept.zone == numbered.zone && self.may_lie(kept, &name)).then_some((kept, name))
    }

    /// Another place closes the item, whoever gives it.
    ///
    /// Of two namesakes one entry names both: so of two such entries that do not know of each other one names both files
    /// as they are shown, one of them has the name, and both are listed as moved to two places.
    pub(super) fn resolve_place(&mut self, item: &Conflict, choice: &Choice) {
        let Some((file, place)) = self.place_chosen(item, choice) else { return };
        let kept = self.name_kept(item, file);
        for (file, place) in [(file, place)].into_iter().chain(kept) {
            let write = FieldWrite::Path(place);
            self.push_item(file.zone.audience(), Item::Set { file, write }, None);
        }
    }
}

/// Whether a file was moved to several places.
pub(super) fn has_several(record: &FileRecord) -> bool {
    record.path.writes().nth(1).is_some() && places_of(record).len() > 1
}

/// The places that a file was moved to, the shown one first: spellings of one name are one.
fn places_of(record: &FileRecord) -> Vec<(&Origin, &VaultPath)> {
    let mut places: Vec<(&Origin, &VaultPath)> = Vec::new();
    for (by, path) in record.path.writes() {
        if places.iter().all(|(_, other)| other.key() != path.key()) {
            places.push((by, path));
        }
    }
    places
}
