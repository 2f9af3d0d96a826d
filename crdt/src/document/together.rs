//! What edits that came together say, where their authors write more than letters.
//!
//! The letters of a text come together one by one. Where a program has to read it, what it says is put together instead
//! from what each side says: a text at one edit is what somebody saved. The letters are as they are until somebody saves
//! the next text, who had that one before them.

use std::{collections::BTreeMap, rc::Rc};

use automerge::ChangeHash;

use super::{Document, FieldConflict, FieldSide, Graph};
use crate::{array, members, note::Note, overlap, shape::Shape, unite};

/// How many edits that came together are looked at, and how often what they started from had come together itself, and of
/// how many edits. Where programs on two nodes save at the same minute each time, it always has: what lies
/// further back is told by its letters, or by each side of it.
const SIDES_MAX: usize = 16;
const SIDES_BELOW_MAX: usize = 4;
const DEPTH_MAX: usize = 4;
/// What one look may cost: texts that are read, merges that are made, and the bytes or letters that are gone through. Whoever writes layer over
/// layer of edits that come together would have it cost their number to the power of the layers. What costs more is
/// shown by its letters. All of it follows from what lies in the past of the heads alone, so every node tells the same.
const TEXTS_MAX: usize = 64;
const MERGES_IN_LOOK_MAX: usize = 64;
const BYTES_MAX: usize = 16 << 20;
/// From here on nothing further back is looked at.
const BYTES_DEEP_MAX: usize = BYTES_MAX / 8;
/// How many of the latest merges of a program's state are looked at for members with two values.
const MERGES_MAX: usize = 4;

/// One look at what came together at some heads.
struct Look<'a> {
    document: &'a Document,
    graph: &'a Graph<'a>,
    /// Texts as their letters are.
    texts: BTreeMap<Vec<ChangeHash>, Option<Rc<str>>>,
    /// Texts as their authors would write them, by how far back is looked from there.
    bodies: BTreeMap<(Vec<ChangeHash>, usize), Option<Rc<str>>>,
    merges: usize,
    bytes: usize,
}

impl<'a> Look<'a> {
    const fn at(document: &'a Document, graph: &'a Graph<'a>) -> Self {
        Self { document, graph, texts: BTreeMap::new(), bodies: BTreeMap::new(), merges: 0, bytes: 0 }
    }

    /// The letters at these heads; none where they cannot be read, or that would be too much.
    fn text(&mut self, heads: &[ChangeHash]) -> Option<Rc<str>> {
        if let Some(known) = self.texts.get(heads) {
            return known.clone();
        }
        if self.texts.len() >= TEXTS_MAX || self.bytes > BYTES_MAX {
            return None;
        }
        let text = self.document.body_at(heads).map(Rc::from);
        // What was deleted is gone through as well.
        let operations = heads.iter().filter_map(|head| self.document.known.get(head)).map(|known| known.max_op).max();
        let length = text.as_ref().map_or(0, |text: &Rc<str>| text.len());
        self.bytes += length.max(operations.and_then(|count| usize::try_from(count).ok()).unwrap_or_default());
        self.texts.insert(heads.to_vec(), text.clone());
        text
    }

    /// The body at these heads as their authors would write it; none where that is not known.
    fn body(&mut self, heads: &[ChangeHash], depth: usize) -> Option<Rc<str>> {
        if heads.len() < 2 {
            return self.text(heads);
        }
        let sides = self.graph.by_author(heads);
        let key = (sides, depth);
        if let Some(known) = self.bodies.get(&key) {
            return known.clone();
        }
        let body = self.body_of(&key.0, depth);
        self.bodies.insert(key, body.clone());
        body
    }

    fn body_of(&mut self, sides: &[ChangeHash], depth: usize) -> Option<Rc<str>> {
        let is_state = self.document.shape == Shape::State;
        let is_first = depth == DEPTH_MAX;
        if sides.len() > if is_first { SIDES_MAX } else { SIDES_BELOW_MAX } || depth == 0 || self.is_deep() {
            if is_state || is_first {
                return None;
            }
            let mut heads = sides.to_vec();
            heads.sort();
            let letters = self.text(&heads)?;
            return Some(array::mended(&letters).map_or(letters, Rc::from));
        }
        let mut merged = self.text(&sides[..1])?;
        for (number, side) in sides.iter().enumerate().skip(1) {
            let bases = self.bases(&self.graph.heads_shared(&sides[..number], side), depth - 1)?;
            let side = self.text(&[*side])?;
            merged = Rc::from(self.merged(&bases, &merged, &side)?);
        }
        Some(merged)
    }

    fn merged(&mut self, bases: &[Rc<str>], one: &str, other: &str) -> Option<String> {
        let bases: Vec<_> = bases.iter().map(|base| &**base).collect();
        self.merges += 1;
        self.bytes += bases.iter().map(|base| base.len()).sum::<usize>() + one.len() + other.len();
        if self.merges > MERGES_IN_LOOK_MAX || self.bytes > BYTES_MAX {
            return None;
        }
        match self.document.shape {
            Shape::State => members::merged(&bases, one, other),
            shape @ (Shape::Note | Shape::Lines | Shape::Array) => unite::merged(shape, bases.first()?, one, other),
        }
    }

    /// What sides with these heads in common started from: what was shown there, or else what came together in it.
    fn bases(&mut self, heads: &[ChangeHash], depth: usize) -> Option<Vec<Rc<str>>> {
        match self.body(heads, depth) {
            Some(body) => Some(vec![body]),
            None => heads.iter().take(SIDES_MAX).map(|head| self.text(&[*head])).collect(),
        }
    }

    /// Whether enough was read not to look further back.
    fn is_deep(&self) -> bool {
        self.texts.len() > TEXTS_MAX / 2 || self.merges > MERGES_IN_LOOK_MAX / 2 || self.bytes > BYTES_DEEP_MAX
    }
}

impl Document {
    /// What is shown in place of the note at these heads; none where it is shown as its letters are.
    pub(super) fn mended_at(&self, heads: &[ChangeHash], note: &Note) -> Option<Note> {
        if heads.len() < 2 || self.shape == Shape::Note {
            return None;
        }
        let body = Look::at(self, &Graph::of(self)).body(heads, DEPTH_MAX)?;
        (*body != *note.body).then(|| Note { body: body.as_ref().to_owned(), ..note.clone() })
    }

    /// The body that is shown at these heads; none if it cannot be read.
    pub(crate) fn shown_body_at(&self, graph: &Graph<'_>, heads: &[ChangeHash]) -> Option<String> {
        if self.shape == Shape::Note {
            return self.body_at(heads);
        }
        Look::at(self, graph)
            .body(heads, DEPTH_MAX)
            .map(|body| body.as_ref().to_owned())
            .or_else(|| self.body_at(heads))
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
        let bases = Look::at(self, graph).bases(&graph.common_heads(&sides), DEPTH_MAX)?;
        let bases: Vec<_> = bases.iter().map(|base| &**base).collect();
        let texts = [self.body_at(&sides[..1])?, self.body_at(&sides[1..])?];
        let names = members::disputed(&bases, &texts[0], &texts[1])?;
        let beside = self.shown_body_at(graph, &graph.heads_beside(&sides[0], &sides[1]))?;
        let read = members::Object::read;
        let (base, beside, now) = (read(bases.first()?), read(&beside), read(&self.shown().body));
        let of_sides = [read(&texts[0])?, read(&texts[1])?];
        let member =
            |object: &Option<members::Object<'_>>, name: &str| Some(object.as_ref()?.get(name)?.text.to_owned());
        let conflict = |name: String| {
            let shown = member(&now, &name).filter(|shown| member(&beside, &name).as_ref() == Some(shown))?;
            let side = |number: usize| {
                let (change, block) = (&sides[number], of_sides[number].get(&name)?.text.to_owned());
                Some(FieldSide { operation: change.to_string(), actor: self.known.get(change)?.actor.clone(), block })
            };
            let mut both = vec![side(0)?, side(1)?];
            both.sort_by(|a, b| a.operation.cmp(&b.operation));
            Some(FieldConflict { base: member(&base, &name), key: name, sides: both, shown })
        };
        Some(names.into_iter().filter_map(conflict).collect())
    }
}

#[cfg(test)]
mod tests {
    use aiemp_keys::{Hash, Signer};
    use automerge::{ActorId, Change};

    use super::*;
    use crate::{document, vet};

    /// Layers of edits by so many authors, each made over all of the layer below.
    fn layered(shape: Shape, authors: u8, layers: usize) -> Vec<Vec<Change>> {
        let mut document = Document::import_as(base_of(shape), shape);
        let layer = |number: usize| {
            let before = document.clone();
            let edit = |author: u8| {
                let mut copy = before.clone();
                let text = match shape {
                    Shape::State => format!("{{\"{number}\": {author}}}\n"),
                    Shape::Note | Shape::Lines | Shape::Array => {
                        format!("{}- {number} by {author}\n", copy.note().to_text())
                    }
                };
                let raw = copy.edit(&text, ActorId::from([author; 16])).expect("a change");
                Change::from_bytes(raw).expect("it decodes")
            };
            let changes: Vec<_> = (1..=authors).map(edit).collect();
            changes.iter().for_each(|change| document.apply_unread(change.clone()));
            document.take_in().expect("it applies");
            document.note = super::super::read_note(&document.doc, None);
            changes
        };
        (0..layers).map(layer).collect()
    }

    const fn base_of(shape: Shape) -> &'static str {
        if matches!(shape, Shape::State) { "{}\n" } else { "" }
    }

    #[test]
    fn layer_over_layer_of_edits_is_read_in_bounded_work_and_alike_in_any_order() {
        for shape in [Shape::Lines, Shape::State] {
            let layers = layered(shape, 16, 5);
            let [mut forward, mut backward] = [(); 2].map(|()| Document::import_as(base_of(shape), shape));
            for layer in &layers {
                layer.iter().for_each(|change| forward.apply_unread(change.clone()));
                layer.iter().rev().for_each(|change| backward.apply_unread(change.clone()));
                backward.read().expect("it reads");
            }
            forward.read().expect("it reads");
            assert_eq!(forward.text(), backward.text(), "{shape:?}");
            let (heads, graph) = (forward.heads(), Graph::of(&forward));
            let mut look = Look::at(&forward, &graph);
            look.body(&heads, DEPTH_MAX);
            assert!(look.texts.len() <= TEXTS_MAX && look.merges <= MERGES_IN_LOOK_MAX + 1, "{shape:?}");
        }
    }

    #[test]
    fn a_log_that_two_write_at_the_same_minute_each_time_has_each_entry_once() {
        let mut log = Document::import_as("", Shape::Lines);
        for number in 0..12 {
            let edits = [1, 2].map(|author: u8| {
                let text = format!("{}- {number} by {author}\n", log.text());
                log.clone().edit(&text, ActorId::from([author; 16])).expect("a change")
            });
            for edit in edits {
                log.apply(Change::from_bytes(edit).expect("it decodes")).expect("it applies");
            }
        }
        let mut lines: Vec<_> = log.text().lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), 24);
        lines.sort();
        lines.dedup();
        assert_eq!(lines.len(), 24);
    }

    #[test]
    fn a_save_of_the_letters_over_what_is_shown_in_their_place_is_a_change() {
        let (doc, author) = (
            aiemp_protocol::ids::DocId(Hash::of_content(b"doc")),
            [1, 2].map(|seed| Signer::from_seed([seed; 32]).node_id()),
        );
        let mut state = Document::import_as("{\"a\": 1, \"b\": 1}\n", Shape::State);
        let texts = ["{\"a\": 2, \"b\": 1, \"c\": 3}\n", "{\"b\": 1, \"d\": 4}\n"];
        let edits = [0, 1].map(|side| {
            let actor = document::actor(author[side], doc, 0, 0);
            state.clone().edit(texts[side], actor).expect("a change")
        });
        for (edit, author) in edits.iter().zip(author) {
            let change = vet::vet(&state, doc, author, 0, edit).expect("honest");
            state.apply(change).expect("it applies");
        }
        let letters = state.note().to_text();
        assert_ne!(state.text(), letters);
        let raw = state.clone().edit(&letters, document::actor(author[0], doc, 0, 0)).expect("a change");
        let change = vet::vet(&state, doc, author[0], 0, &raw).expect("honest");
        state.apply(change).expect("it applies");
        assert_eq!((state.text(), state.heads().len()), (letters.clone(), 1));
        assert_eq!(state.edit(&letters, document::actor(author[0], doc, 0, 0)), None);
    }
}
