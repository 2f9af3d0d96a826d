//! What edits that came together say, where their authors write more than letters.
//!
//! The letters of a text come together one by one. Where a program has to read it, what it says is put together instead
//! from what each side says: a text at one edit is what somebody saved. The letters are as they are until somebody saves
//! the next text, who had that one before them.

use automerge::ChangeHash;

use super::{Document, Graph};
use crate::{array, note::Note, unite};

/// How many edits that came together are looked at, and how often what they started from had come together itself. Where
/// programs on two nodes save at the same minute each time, it always has: what lies further back is told by its letters.
const SIDES_MAX: usize = 16;
const DEPTH_MAX: usize = 4;

impl Document {
    /// What is shown in place of the note at these heads; none where it is shown as its letters are.
    pub(super) fn mended_at(&self, heads: &[ChangeHash], note: &Note) -> Option<Note> {
        if heads.len() < 2 || !self.shape.is_day_log() {
            return None;
        }
        let body = self.body_of(&Graph::of(self), heads, DEPTH_MAX)?;
        (body != note.body).then(|| Note { body, ..note.clone() })
    }

    /// The body that is shown at these heads; none if it cannot be read.
    pub(crate) fn shown_body_at(&self, graph: &Graph<'_>, heads: &[ChangeHash]) -> Option<String> {
        let of_sides = if self.shape.is_day_log() { self.body_of(graph, heads, DEPTH_MAX) } else { None };
        of_sides.or_else(|| self.body_at(heads))
    }

    /// The body at these heads as their authors would write it; none where that is not known.
    fn body_of(&self, graph: &Graph<'_>, heads: &[ChangeHash], depth: usize) -> Option<String> {
        if heads.len() < 2 {
            return self.body_at(heads);
        }
        if depth == 0 || heads.len() > SIDES_MAX {
            let letters = self.body_at(heads)?;
            return Some(array::mended(&letters).unwrap_or(letters));
        }
        let sides = graph.by_author(heads);
        let mut merged = self.body_at(&sides[..1])?;
        for (number, side) in sides.iter().enumerate().skip(1) {
            let base = self.body_of(graph, &graph.heads_shared(&sides[..number], side), depth - 1)?;
            merged = unite::merged(self.shape, &base, &merged, &self.body_at(&[*side])?)?;
        }
        Some(merged)
    }
}
