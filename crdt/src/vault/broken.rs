//! Notes whose front matter a merge broke: how they are listed, and mended.

use aiemp_keys::cbor;
use aiemp_protocol::ids::FileId;

use super::{
    Vault,
    open::{DocState, Task},
};
use crate::{
    conflict::{self, Conflict, ConflictKind, Side},
    structure::{self, Broken},
};

impl Vault {
    pub(super) fn remember_broken(&mut self, file: FileId) {
        self.broken.remove(&file);
        let Some(DocState::Note(note)) = self.docs.get_mut(&file) else { return };
        if let Some(broken) = Broken::of(&mut note.merged) {
            self.broken.insert(file, (note.base, broken));
        }
    }

    pub(super) fn broken_items(&self) -> impl Iterator<Item = Conflict> + '_ {
        self.broken.iter().filter_map(|(file, (base, broken))| {
            let is_shown = self.shown_base(*file) == Some(*base) && self.is_in_sight(*file);
            if is_shown { self.broken_item(*file, broken) } else { None }
        })
    }

    fn broken_item(&self, file: FileId, broken: &Broken) -> Option<Conflict> {
        let [one, other] = broken.changes().map(|change| cbor::bytes(&change.0));
        let side = |side: &structure::Side| Side { node: Some(side.node), text: side.told.clone(), hlc: side.hlc };
        Some(Conflict {
            id: conflict::id_of(file, "structure", one, other),
            kind: ConflictKind::Structure,
            file,
            path: self.index.get(file)?.path.shown()?.clone(),
            field: None,
            line: None,
            base: Some(broken.base.clone()),
            sides: broken.sides.iter().map(side).collect(),
            merged: broken.merged.clone(),
            found: Vec::new(),
        })
    }

    /// The note gets the front matter that one side gave it.
    pub(super) fn mend(&mut self, file: FileId, side: usize) {
        let (Some(DocState::Note(note)), Some((_, broken))) = (self.docs.get(&file), self.broken.get(&file)) else {
            return;
        };
        if let Some(text) = broken.mended(&note.merged, side) {
            self.with_document(file, Task::Rewrite(text.into_bytes()));
        }
    }
}
