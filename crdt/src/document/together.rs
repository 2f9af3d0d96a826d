//! What edits that came together say, where their authors write more than letters.
//!
//! The letters of a text come together one by one. Where a program has to read it, what it says is put together instead
//! from what each side says: a text at one edit is what somebody saved. The letters are as they are until somebody saves
//! the next text, who had that one before them.

use automerge::ChangeHash;

use super::{Document, FieldConflict, FieldSide, Graph};
use crate::{array, members, note::Note, overlap, shape::Shape, unite};

/// How many edits that came together are looked at, and how often what they started from had come together itself. Where
/// programs on two nodes save at the same minute each time, it always has: what lies further back is told
/// by its letters, or by each side of it.
const SIDES_MAX: usize = 16;
const DEPTH_MAX: usize = 4;
/// How many of the latest merges of a program's state are looked at for members with two values.
const MERGES_MAX: usize = 4;

impl Document {
    /// What is shown in place of the note at these heads; none where it is shown as its letters are.
    pub(super) fn mended_at(&self, heads: &[ChangeHash], note: &Note) -> Option<Note> {
        if heads.len() < 2 || self.shape == Shape::Note {
            return None;
        }
        let body = self.body_of(&Graph::of(self), heads, DEPTH_MAX)?;
        (body != note.body).then(|| Note { body, ..note.clone() })
    }

    /// The body that is shown at these heads; none if it cannot be read.
    pub(crate) fn shown_body_at(&self, graph: &Graph<'_>, heads: &[ChangeHash]) -> Option<String> {
        let of_sides = if self.shape != Shape::Note { self.body_of(graph, heads, DEPTH_MAX) } else { None };
        of_sides.or_else(|| self.body_at(heads))
    }

    /// The body at these heads as their authors would write it; none where that is not known.
    fn body_of(&self, graph: &Graph<'_>, heads: &[ChangeHash], depth: usize) -> Option<String> {
        if heads.len() < 2 {
            return self.body_at(heads);
        }
        if heads.len() > SIDES_MAX || (depth == 0 && self.shape == Shape::State) {
            return None;
        }
        if depth == 0 {
            let letters = self.body_at(heads)?;
            return Some(array::mended(&letters).unwrap_or(letters));
        }
        let sides = graph.by_author(heads);
        let mut merged = self.body_at(&sides[..1])?;
        for (number, side) in sides.iter().enumerate().skip(1) {
            let bases = self.bases(graph, &graph.heads_shared(&sides[..number], side), depth - 1)?;
            let bases: Vec<_> = bases.iter().map(String::as_str).collect();
            let side = self.body_at(&[*side])?;
            merged = match self.shape {
                Shape::State => members::merged(&bases, &merged, &side)?,
                Shape::Note | Shape::Lines | Shape::Array => unite::merged(self.shape, bases.first()?, &merged, &side)?,
            };
        }
        Some(merged)
    }

    /// What sides with these heads in common started from: what was shown there, or else what came together in it.
    fn bases(&self, graph: &Graph<'_>, heads: &[ChangeHash], depth: usize) -> Option<Vec<String>> {
        match self.body_of(graph, heads, depth) {
            Some(body) => Some(vec![body]),
            None => heads.iter().take(SIDES_MAX).map(|head| self.body_at(&[*head])).collect(),
        }
    }

    /// Members of an object to which concurrent changes gave different values, and that nobody changed who had both.
    pub fn member_conflicts(&mut self) -> Vec<FieldConflict> {
        if self.shape != Shape::State || !self.has_merges() {
            return Vec::new();
        }
        let merges = self.latest_merges(MERGES_MAX);
        let graph = Graph::of(self);
        let in_each = merges.iter().filter_map(|(one, other)| self.members_in_merge(&graph, [*one, *other]));
        in_each.flatten().collect()
    }

    fn members_in_merge(&self, graph: &Graph<'_>, sides: [ChangeHash; 2]) -> Option<Vec<FieldConflict>> {
        overlap::authors(graph, &sides[0], &sides[1])?;
        let bases = self.bases(graph, &graph.common_heads(&sides), DEPTH_MAX)?;
        let bases: Vec<_> = bases.iter().map(String::as_str).collect();
        let texts = [self.body_at(&sides[..1])?, self.body_at(&sides[1..])?];
        let names = members::disputed(&bases, &texts[0], &texts[1])?;
        let beside = self.shown_body_at(graph, &graph.heads_beside(&sides[0], &sides[1]))?;
        let member = |text: &str, name: &str| Some(members::Object::read(text)?.get(name)?.text.to_owned());
        let now = &self.shown().body;
        let conflict = |name: String| {
            let shown = member(now, &name).filter(|shown| member(&beside, &name).as_ref() == Some(shown))?;
            let side = |number: usize| {
                let (change, block) = (&sides[number], member(&texts[number], &name)?);
                Some(FieldSide { operation: change.to_string(), actor: self.known.get(change)?.actor.clone(), block })
            };
            let mut both = vec![side(0)?, side(1)?];
            both.sort_by(|a, b| a.operation.cmp(&b.operation));
            Some(FieldConflict { base: member(bases.first()?, &name), key: name, sides: both, shown })
        };
        Some(names.into_iter().filter_map(conflict).collect())
    }
}
