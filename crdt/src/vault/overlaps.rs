//! Places of a text that two members changed: which are listed, and how it is decided.

use aiemp_protocol::ids::FileId;

use super::{
    Vault,
    open::{DocState, Task},
};
use crate::{
    conflict::{Conflict, ConflictKind, Side},
    overlap::{self, Open, Overlaps},
};

/// Texts of such places that are kept to be looked at. What finds no room is told by its length.
const TEXT_BYTES_MAX: usize = 32 << 20;

impl Vault {
    /// Looks where members changed one place of a note that is open.
    pub(super) fn remember_overlaps(&mut self, file: FileId) {
        let known = self.overlaps.remove(&file);
        let Some(DocState::Note(note)) = self.docs.get_mut(&file) else { return };
        if !note.merged.has_merges() {
            return;
        }
        let kept: usize = self.overlaps.values().map(|(_, overlaps)| overlaps.bytes()).sum();
        let known = known.filter(|(base, _)| *base == note.base).map(|(_, overlaps)| overlaps);
        let mut overlaps: Overlaps = known.unwrap_or_default();
        overlaps.update(file, &mut note.merged, kept <= TEXT_BYTES_MAX);
        self.overlaps.insert(file, (note.base, overlaps));
    }

    fn open_overlaps(&self, file: FileId) -> &[Open] {
        let of_shown = self.overlaps.get(&file).filter(|(base, _)| self.shown_base(file) == Some(*base));
        of_shown.map_or(&[], |(_, overlaps)| overlaps.open())
    }

    pub(super) fn text_items(&self) -> impl Iterator<Item = Conflict> + '_ {
        let in_sight = self.overlaps.keys().copied().filter(|file| self.is_in_sight(*file));
        in_sight
            .flat_map(move |file| self.open_overlaps(file).iter().filter_map(move |open| self.text_item(file, open)))
    }

    fn text_item(&self, file: FileId, open: &Open) -> Option<Conflict> {
        let side = |side: &overlap::Side| Side { node: Some(side.node), text: side.told.clone(), hlc: side.hlc };
        Some(Conflict {
            id: open.id,
            kind: ConflictKind::Text,
            file,
            path: self.index.get(file)?.path.shown()?.clone(),
            field: None,
            line: Some(open.line),
            base: Some(open.base.clone()),
            sides: open.sides.iter().map(side).collect(),
            merged: open.merged.clone(),
            found: Vec::new(),
        })
    }

    /// Whether members changed one place of the note, and nobody has looked at it since.
    pub fn has_overlaps(&self, file: FileId) -> bool {
        let is_open = |open: &Open| self.text_item(file, open).is_some_and(|item| !self.is_resolved(&item));
        self.open_overlaps(file).iter().any(is_open)
    }

    /// Whether the lines of a side are at hand.
    pub(super) fn has_lines(&self, item: &Conflict, side: usize) -> bool {
        self.lines_of(item, side).is_some()
    }

    fn lines_of(&self, item: &Conflict, side: usize) -> Option<(&Open, &String)> {
        let open = self.open_overlaps(item.file).iter().find(|open| open.id == item.id)?;
        Some((open, open.sides.get(side)?.lines.as_ref()?))
    }

    /// The place says what one side made of it.
    pub(super) fn take_lines(&mut self, item: &Conflict, side: usize) {
        let Some(DocState::Note(note)) = self.docs.get(&item.file) else { return };
        let Some((open, lines)) = self.lines_of(item, side) else { return };
        let mut chosen = note.merged.shown().clone();
        let all: Vec<_> = chosen.body.split_inclusive('\n').collect();
        let (Some(before), Some(after)) = (all.get(..open.place.start), all.get(open.place.end..)) else { return };
        let line_end = if lines.is_empty() || lines.ends_with('\n') || after.is_empty() { "" } else { "\n" };
        chosen.body = [&before.concat(), lines, line_end, &after.concat()].concat();
        let text = chosen.to_text().into_bytes();
        self.with_document(item.file, Task::Rewrite(text));
    }
}
