//! Notes whose front matter a merge broke, where both sides were whole.
//!
//! A file is read line by line: where the merge of two notes puts something behind a fence, or a field into a note that
//! has no fence any more, whoever reads the file sees another note than both wrote. Whoever edits the file writes what
//! they see, and with that it is whole again.

use aiemp_keys::NodeId;
use aiemp_protocol::time::Timestamp;
use automerge::ChangeHash;

use crate::{
    document::{Document, Graph},
    index::Origin,
    note::Note,
    overlap,
};

/// How many of the latest merges are looked at for the one that broke it.
const MERGES_MAX: usize = 32;
/// Lines of the text that are told behind the front matter, and bytes of all of it.
const LINES_BEHIND: usize = 3;
const TEXT_BYTES_MAX: usize = 8 << 10;

/// What one side wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Side {
    pub(crate) node: NodeId,
    pub(crate) hlc: Timestamp,
    /// How the note began.
    pub(crate) told: String,
    /// The change that it stood at.
    at: ChangeHash,
}

/// A broken note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) base: String,
    pub(crate) sides: [Side; 2],
    pub(crate) merged: String,
}

impl Broken {
    /// What is broken of a note, and by which merge.
    pub(crate) fn of(document: &mut Document) -> Option<Self> {
        if !document.has_merges() || is_whole(document.note()) {
            return None;
        }
        let merges = document.latest_merges(MERGES_MAX);
        let graph = Graph::of(document);
        merges.iter().find_map(|(one, other)| Self::by(document, &graph, [*one, *other]))
    }

    fn by(document: &Document, graph: &Graph<'_>, sides: [ChangeHash; 2]) -> Option<Self> {
        let [one, other] = sides;
        let [by_one, by_other] = overlap::authors(graph, &one, &other)?;
        let notes = [document.note_at(&[one])?, document.note_at(&[other])?];
        if !notes.iter().all(is_whole) || is_whole(&document.note_at(&sides)?) {
            return None;
        }
        let side = |note: &Note, at: ChangeHash, by: &Origin| Side {
            node: by.author(),
            hlc: by.hlc,
            told: beginning(note),
            at,
        };
        let mut told = [side(&notes[0], one, by_one), side(&notes[1], other, by_other)];
        told.sort_by_key(|side| side.node);
        let base = beginning(&document.note_at(&graph.common_heads(&sides))?);
        Some(Self { base, sides: told, merged: beginning(document.note()) })
    }

    /// The changes that broke it by coming together.
    pub(crate) fn changes(&self) -> [ChangeHash; 2] {
        [self.sides[0].at, self.sides[1].at]
    }

    /// The note with the front matter of one side and the text of both.
    pub(crate) fn mended(&self, document: &Document, side: usize) -> Option<String> {
        let of_side = document.note_at(&[self.sides.get(side)?.at])?;
        let mut body = document.note().body.clone();
        if of_side.front_matter.is_some() && !body.is_empty() && !body.starts_with('\n') {
            body.insert(0, '\n');
        } else if of_side.front_matter.is_none() && body.starts_with('\n') && !of_side.body.starts_with('\n') {
            body.remove(0);
        }
        Some(Note { body, ..of_side }.to_text())
    }
}

/// Whether the file says what the note is: the same fields, where there are any.
fn is_whole(note: &Note) -> bool {
    let read = Note::parse(&note.to_text());
    let fields = |note: &Note| note.front_matter.as_ref().map(|front_matter| front_matter.blocks.clone());
    fields(&read) == fields(note)
}

/// How a note begins: its front matter, and some lines of its text.
fn beginning(note: &Note) -> String {
    let fields = note.front_matter.iter().flat_map(|front_matter| front_matter.blocks.values());
    let lines: usize = fields.map(|block| block.lines().count()).sum::<usize>() + 2;
    let text = note.to_text();
    let mut told: String = text.split_inclusive('\n').take(lines + LINES_BEHIND).collect();
    let end = (0..=TEXT_BYTES_MAX.min(told.len())).rev().find(|end| told.is_char_boundary(*end)).unwrap_or(0);
    told.truncate(end);
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_whole_if_its_file_is_read_as_it_is() {
        let mut note = Note::parse("---\na: 1\n---\nBody\n");
        assert!(is_whole(&note));
        note.body = "Body\n".to_owned();
        assert!(!is_whole(&note), "its fence does not end: {}", note.to_text());
        assert!(is_whole(&Note::parse("---\na: 1\n")), "a fence that nobody closed is text");
        assert!(is_whole(&Note::parse("---\na: 1\na: 2\n---\n")), "a key that stands twice is text");
    }
}
