//! Places of a note that two members changed without having heard of each other.
//!
//! Letters and words of both stand there side by side, which may be what nobody meant. Looked for wherever two changes
//! come together of which neither follows from the other: what each side made of their common past is compared by lines.
//! A place is open while the note still says there what came of it by those who did not have both sides: nobody who had
//! both changed it. All of that follows from the changes alone, so every node tells the same.

use std::{collections::BTreeMap, ops::Range};

use aiemp_keys::{NodeId, Value, cbor};
use aiemp_protocol::{
    ids::{ConflictId, ContentHash, FileId},
    time::Timestamp,
};
use automerge::ChangeHash;

use crate::{
    conflict,
    document::{Document, Graph},
    index::Origin,
    text_diff::changed_lines,
    unite,
};

/// How many of the latest merges of a note are looked at: each costs to read the note four times, once.
const MERGES_MAX: usize = 16;
/// Places of one merge that are told.
const PLACES_MAX: usize = 16;
/// Lines told before and after a place.
const CONTEXT: usize = 3;
/// Longer places are told by their length, and the lines around one by their beginnings.
const PLACE_BYTES_MAX: usize = 16 << 10;
const AROUND_BYTES_MAX: usize = 400;

/// What one side made of a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Side {
    pub(crate) node: NodeId,
    pub(crate) hlc: Timestamp,
    /// The lines of the place, as they would stand in the note; none where they are too long.
    pub(crate) lines: Option<String>,
    /// The same between the lines around it.
    pub(crate) told: String,
}

/// A place, and what became of it.
#[derive(Debug)]
struct Overlap {
    id: ConflictId,
    /// Its lines in what the sides started from.
    place: Range<usize>,
    base: String,
    sides: [Side; 2],
    /// What the merge of the sides says there.
    of_sides: Vec<String>,
    /// What came of it by those who did not have both sides.
    merged: Piece,
}

/// The places of a merge.
#[derive(Debug, Default)]
struct Merge {
    /// The heads that its sides started from.
    base: Vec<ChangeHash>,
    overlaps: Vec<Overlap>,
    /// The heads of all that was written by those who did not have both sides.
    beside: Vec<ChangeHash>,
}

/// Lines of a text, with the line before and the line after them.
#[derive(Clone, Debug, Default)]
struct Piece {
    before: Option<String>,
    lines: Vec<String>,
    after: Option<String>,
}

/// A place that still says what the merge of both sides made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) id: ConflictId,
    pub(crate) base: String,
    pub(crate) sides: [Side; 2],
    /// What the note says there, between the lines around it.
    pub(crate) merged: String,
    /// Its lines in the body.
    pub(crate) place: Range<usize>,
    /// The number of the first of them in the file.
    pub(crate) line: usize,
}

/// What is known of one document.
#[derive(Debug, Default)]
pub(crate) struct Overlaps {
    by_merge: BTreeMap<(ChangeHash, ChangeHash), Merge>,
    open: Vec<Open>,
}

impl Overlaps {
    /// The places that are open.
    pub(crate) fn open(&self) -> &[Open] {
        &self.open
    }

    /// How many bytes of texts are kept.
    pub(crate) fn bytes(&self) -> usize {
        let of_sides = |sides: &[Side; 2]| sides.iter().map(|side| side.told.len()).sum::<usize>();
        let all = self.by_merge.values().flat_map(|merge| &merge.overlaps);
        all.map(|overlap| 3 * overlap.base.len() + 6 * of_sides(&overlap.sides)).sum()
    }

    /// Brings it in step with the document. Where there is no room, texts are told by their lengths.
    pub(crate) fn update(&mut self, file: FileId, document: &mut Document, has_room: bool) {
        let merges = document.latest_merges(MERGES_MAX);
        let heads = document.heads();
        self.by_merge.retain(|merge, _| merges.contains(merge));
        let may_change = |merge| self.by_merge.get(merge).is_none_or(|known: &Merge| !known.overlaps.is_empty());
        if merges.iter().any(may_change) {
            let graph = Graph::of(document);
            for sides in &merges {
                let merge = self.by_merge.entry(*sides).or_insert_with(|| {
                    let mut found = Merge::of(file, document, &graph, sides).unwrap_or_default();
                    if !has_room {
                        found.overlaps.iter_mut().for_each(Overlap::forget_texts);
                    }
                    found
                });
                merge.update(document, &graph, sides, &heads);
            }
        }
        let note = document.shown();
        let now: Vec<&str> = note.body.lines().collect();
        // What follows the closing fence is its line.
        let blocks = note.front_matter.iter().flat_map(|front_matter| front_matter.blocks.values());
        let first =
            blocks.map(|block| block.lines().count()).sum::<usize>() + usize::from(note.front_matter.is_some()) + 1;
        let all = self.by_merge.values().flat_map(|merge| &merge.overlaps);
        let open = all.filter_map(|overlap| {
            let place = overlap.merged.place_in(&now)?;
            let (merged, line) = (told(&now, &place), first + place.start);
            let mut sides = overlap.sides.clone();
            if overlap.merged.lines != overlap.of_sides {
                // Others wrote there as well: who takes a side would take that away.
                sides.iter_mut().for_each(|side| side.lines = None);
            }
            Some(Open { id: overlap.id, base: overlap.base.clone(), sides, merged, place, line })
        });
        self.open = open.collect();
        self.open.sort_by_key(|open| open.id);
        self.open.dedup_by_key(|open| open.id);
    }
}

impl Overlap {
    fn forget_texts(&mut self) {
        for told in self.sides.iter_mut().map(|side| &mut side.told).chain([&mut self.base]) {
            *told = too_much(told.len());
        }
        self.sides.iter_mut().for_each(|side| side.lines = None);
    }
}

impl Piece {
    fn of(lines: &[&str], place: &Range<usize>) -> Self {
        let line = |at: usize| lines.get(at).map(|line| (*line).to_owned());
        Self {
            before: place.start.checked_sub(1).and_then(line),
            lines: lines[place.clone()].iter().map(|line| (*line).to_owned()).collect(),
            after: line(place.end),
        }
    }

    /// Where these lines stand: between the same lines as then, or elsewhere if there is anything to know them by.
    fn place_in(&self, now: &[&str]) -> Option<Range<usize>> {
        let length = self.lines.len();
        let mut found = occurrences(&self.lines, now).into_iter();
        let is_between = |at: &usize| {
            let before = at.checked_sub(1).and_then(|at| now.get(at)).copied();
            before == self.before.as_deref() && now.get(at + length).copied() == self.after.as_deref()
        };
        let is_telling = self.lines.iter().any(|line| !line.trim().is_empty());
        let first = found.next()?;
        let anchored = std::iter::once(first).chain(found).find(is_between);
        anchored.or(is_telling.then_some(first)).map(|at| at..at + length)
    }
}

/// Where these lines stand in others, in one pass over both: thousands of lines may be alike (Knuth, Morris and Pratt).
fn occurrences(lines: &[String], others: &[&str]) -> Vec<usize> {
    if lines.is_empty() {
        return (0..=others.len()).collect();
    }
    // How many of the first lines the lines up to each end with, apart from all of them.
    let mut borders = vec![0; lines.len()];
    let mut matched = 0;
    for at in 1..lines.len() {
        while matched > 0 && lines[at] != lines[matched] {
            matched = borders[matched - 1];
        }
        matched += usize::from(lines[at] == lines[matched]);
        borders[at] = matched;
    }
    let (mut found, mut matched) = (Vec::new(), 0);
    for (at, other) in others.iter().enumerate() {
        while matched > 0 && (matched == lines.len() || lines[matched] != *other) {
            matched = borders[matched - 1];
        }
        matched += usize::from(lines[matched] == *other);
        if matched == lines.len() {
            found.push(at + 1 - matched);
        }
    }
    found
}

impl Merge {
    /// The places that both sides of a merge changed; none where it is no merge of two members, or cannot be read.
    fn of(
        file: FileId,
        document: &Document,
        graph: &Graph<'_>,
        (one, other): &(ChangeHash, ChangeHash),
    ) -> Option<Self> {
        let authors = authors(graph, one, other)?;
        let heads = graph.common_heads(&[*one, *other]);
        let base = document.shown_body_at(graph, &heads)?;
        let sides = [document.shown_body_at(graph, &[*one])?, document.shown_body_at(graph, &[*other])?];
        if !unite::is_of_lines(document.shape(), &base, &sides[0], &sides[1], meet) {
            return None;
        }
        let runs = [changed_lines(&base, &sides[0]), changed_lines(&base, &sides[1])];
        let both = document.shown_body_at(graph, &[*one, *other])?;
        let (both_lines, both_runs) = (both.lines().collect::<Vec<_>>(), changed_lines(&base, &both));
        let base_lines: Vec<_> = base.lines().collect();
        let overlap = |place: Range<usize>| {
            let side = |number: usize| {
                let (by, text): (&Origin, &str) = (authors[number], &sides[number]);
                let there = carried(&place, &runs[number]);
                let lines: String = text.split_inclusive('\n').skip(there.start).take(there.len()).collect();
                let value = side_value(&heads, place.start, by.author(), &lines);
                let told = told(&text.lines().collect::<Vec<_>>(), &there);
                let lines = (lines.len() <= PLACE_BYTES_MAX).then_some(lines);
                (value, Side { node: by.author(), hlc: by.hlc, lines, told })
            };
            let [(value, one), (other_value, other)] = [side(0), side(1)];
            let id = conflict::id_of(file, "text", value, other_value);
            let mut sides = [one, other];
            sides.sort_by_key(|side| side.node);
            let base = told(&base_lines, &place);
            let of_sides = Piece::of(&both_lines, &carried(&place, &both_runs)).lines;
            Overlap { id, place, base, sides, of_sides, merged: Piece::default() }
        };
        let places = places(&base, [&sides[0], &sides[1]], [&runs[0], &runs[1]]);
        let overlaps = places.into_iter().take(PLACES_MAX).map(overlap).collect();
        Some(Self { base: heads, overlaps, beside: Vec::new() })
    }

    /// Takes up what was written since by those who did not have both sides.
    fn update(
        &mut self,
        document: &Document,
        graph: &Graph<'_>,
        (one, other): &(ChangeHash, ChangeHash),
        heads: &[ChangeHash],
    ) {
        let beside = if self.overlaps.is_empty() { Vec::new() } else { graph.heads_beside(one, other) };
        if beside == self.beside {
            return;
        }
        let text =
            if beside == heads { Some(document.shown().body.clone()) } else { document.shown_body_at(graph, &beside) };
        let (Some(base), Some(text)) = (document.shown_body_at(graph, &self.base), text) else {
            return self.overlaps.clear();
        };
        let (runs, lines) = (changed_lines(&base, &text), text.lines().collect::<Vec<_>>());
        for overlap in &mut self.overlaps {
            overlap.merged = Piece::of(&lines, &carried(&overlap.place, &runs));
        }
        self.beside = beside;
    }
}

/// Who stands for each side: the last of each that are two.
pub(crate) fn authors<'a>(graph: &Graph<'a>, one: &ChangeHash, other: &ChangeHash) -> Option<[&'a Origin; 2]> {
    let (one, other) = (graph.branch(one, other), graph.branch(other, one));
    let (first, second) = (one.first()?, other.first()?);
    let differs =
        |from: &Origin, among: &[&'a Origin]| among.iter().find(|origin| origin.author() != from.author()).copied();
    match (differs(first, &other), differs(second, &one)) {
        (Some(second), _) => Some([*first, second]),
        (None, Some(first)) => Some([first, *second]),
        (None, None) => None,
    }
}

/// What a side is known by: where it parted, and what it says.
fn side_value(heads: &[ChangeHash], line: usize, by: NodeId, lines: &str) -> Value {
    let heads = cbor::array(heads.iter().map(|head| cbor::bytes(&head.0)));
    let says = ContentHash::of(lines.as_bytes());
    cbor::array([heads, cbor::uint(line as u64), by.to_value(), says.to_value()])
}

/// A place between the lines around it.
fn told(lines: &[&str], place: &Range<usize>) -> String {
    let length: usize = lines[place.clone()].iter().map(|line| line.len() + 1).sum();
    if length > PLACE_BYTES_MAX {
        return too_much(length);
    }
    let line = |at: usize| {
        let end = if place.contains(&at) { lines[at].len() } else { lines[at].len().min(AROUND_BYTES_MAX) };
        let end = (0..=end).rev().find(|end| lines[at].is_char_boundary(*end)).unwrap_or(0);
        format!("{}\n", &lines[at][..end])
    };
    (place.start.saturating_sub(CONTEXT)..(place.end + CONTEXT).min(lines.len())).map(line).collect()
}

fn too_much(length: usize) -> String {
    format!("({length} bytes: too much to show here)")
}

type Runs = [(Range<usize>, Range<usize>)];

/// The lines of a text that both sides changed: the same ones, or some between which the other added.
fn places(base: &str, sides: [&str; 2], runs: [&Runs; 2]) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    for (one, one_new) in runs[0] {
        for (other, other_new) in runs[1].iter().skip_while(|(other, _)| other.end < one.start) {
            if other.start > one.end {
                break;
            }
            let is_same_deletion = one == other && one_new.is_empty() && other_new.is_empty();
            if meet(one, other) && !is_same_deletion {
                places.push(one.start.min(other.start)..one.end.max(other.end));
            }
        }
    }
    let count = base.lines().count();
    let lost_its_end = |text: &str| is_ended(base) && !is_ended(text);
    let ends = |runs: &Runs| runs.last().is_some_and(|(run, _)| run.end == count);
    if (lost_its_end(sides[0]) && ends(runs[1])) || (lost_its_end(sides[1]) && ends(runs[0])) {
        // What one adds at the end stands in the line of the other.
        let starts =
            runs.iter().filter_map(|runs| runs.last()).filter(|(run, _)| run.end == count).map(|(run, _)| run.start);
        places.push(starts.min().unwrap_or(count).min(count.saturating_sub(1))..count);
    }
    // A place reaches to the next lines that both sides left as they were: without such a line between them, what the merge
    // says there cannot be told from what either side changed right beside it.
    let beside = runs.into_iter().flatten().map(|(run, _)| (run.clone(), false));
    let mut all: Vec<_> = places.into_iter().map(|place| (place, true)).chain(beside).collect();
    all.sort_by_key(|(range, _)| range.start);
    let mut joined: Vec<(Range<usize>, bool)> = Vec::new();
    for (range, is_place) in all {
        match joined.last_mut() {
            Some((last, holds_place)) if touches(&range, last) => {
                last.end = last.end.max(range.end);
                *holds_place |= is_place;
            }
            Some(_) | None => joined.push((range, is_place)),
        }
    }
    joined.into_iter().filter_map(|(range, holds_place)| holds_place.then_some(range)).collect()
}

const fn touches(run: &Range<usize>, place: &Range<usize>) -> bool {
    run.start <= place.end && place.start <= run.end
}

fn is_ended(text: &str) -> bool {
    text.is_empty() || text.ends_with('\n')
}

/// Whether two changed runs are in one place. What is added between two lines is beside a change of either.
fn meet(one: &Range<usize>, other: &Range<usize>) -> bool {
    let is_inside = |gap: usize, range: &Range<usize>| range.start < gap && gap < range.end;
    match (one.is_empty(), other.is_empty()) {
        (false, false) => one.start < other.end && other.start < one.end,
        (true, false) => is_inside(one.start, other),
        (false, true) => is_inside(other.start, one),
        (true, true) => false,
    }
}

/// The lines that stand in a place after all that was changed, with those that were added at its ends.
fn carried(place: &Range<usize>, runs: &Runs) -> Range<usize> {
    type Run = (Range<usize>, Range<usize>);
    let is_in = |(old, _): &&Run| {
        let is_added = place.is_empty() || old.is_empty();
        if is_added { touches(old, place) } else { meet(old, place) }
    };
    let moved = |at: usize, after: Option<&Run>| {
        let (old, new) = after.map_or((0, 0), |(old, new)| (old.end, new.end));
        (at + new).saturating_sub(old)
    };
    let before = runs.iter().take_while(|run| run.0.end <= place.start && !is_in(run)).last();
    let (first, last) = (runs.iter().find(is_in), runs.iter().rfind(is_in));
    let start = match first {
        Some((old, new)) if old.start <= place.start => new.start,
        Some(_) | None => moved(place.start, before),
    };
    let end = match last {
        Some((old, new)) if old.end >= place.end => new.end,
        Some(_) | None => moved(place.end, last.or(before)),
    };
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_between_lines_is_beside_a_change_of_either() {
        assert!(meet(&(2..3), &(2..3)) && meet(&(1..4), &(3..5)) && meet(&(2..2), &(1..3)) && meet(&(1..3), &(2..2)));
        assert!(
            !meet(&(2..3), &(3..4)) && !meet(&(2..2), &(2..3)) && !meet(&(2..2), &(1..2)) && !meet(&(2..2), &(2..2))
        );
    }

    #[test]
    fn lines_are_found_wherever_they_stand() {
        let at = |lines: &str, others: &str| {
            let lines: Vec<_> = lines.chars().map(String::from).collect();
            let others: Vec<_> = others.chars().map(String::from).collect();
            let others: Vec<_> = others.iter().map(String::as_str).collect();
            let found = occurrences(&lines, &others);
            let expected = (0..(others.len() + 1).saturating_sub(lines.len()))
                .filter(|at| others[*at..*at + lines.len()].iter().zip(&lines).all(|(one, other)| one == other));
            assert_eq!(found, expected.collect::<Vec<_>>(), "{lines:?} in {others:?}");
            found.len()
        };
        assert_eq!([at("", "ab"), at("a", ""), at("ab", "ab"), at("aa", "aaaa"), at("aba", "ababa")], [3, 0, 1, 3, 2]);
        assert_eq!([at("aab", "aaaabaab"), at("abcabd", "abcabcabd"), at("b", "aaa")], [2, 1, 0]);
    }

    #[test]
    fn many_lines_that_are_alike_take_no_longer() {
        let alike = vec!["a"; 200_000];
        let mut lines: Vec<_> = alike.iter().map(|line| (*line).to_owned()).collect();
        lines.push("b".to_owned());
        let piece = Piece { before: None, lines, after: None };
        let all = [alike.clone(), alike, vec!["b"]].concat();
        assert_eq!(piece.place_in(&all), Some(200_000..400_001));
    }

    #[test]
    fn a_place_reaches_to_lines_that_both_sides_left() {
        let base = "a\nb\nc\nd\ne\nf\n";
        let places = |one: &str, other: &str| {
            let runs = [changed_lines(base, one), changed_lines(base, other)];
            let places = super::places(base, [one, other], [&runs[0], &runs[1]]);
            places.into_iter().map(|place| (place.start, place.end)).collect::<Vec<_>>()
        };
        assert!(places("a\nB\nc\nd\ne\nf\n", "a\nb\nC\nd\ne\nf\n").is_empty(), "two lines beside each other");
        assert_eq!(places("a\nB\nc\nd\ne\nf\n", "a\nall\ne\nf\n"), [(1, 4)]);
        assert_eq!(places("a\nB\nc\nd\nnew\ne\nf\n", "a\nall\ne\nf\n"), [(1, 4)], "with what is added at its end");
        assert_eq!(places("a\nB\nc\nd\nE\nf\n", "a\nall\ne\nf\n"), [(1, 5)], "and the line changed beside it");
        assert_eq!(places("A\nB\nc\nd\ne\nF\n", "a\nall\ne\nf\n"), [(0, 4)]);
    }

    #[test]
    fn a_place_is_found_again_after_what_was_changed_before_in_and_behind_it() {
        let base = "a\nb\nc\nd\ne\n";
        let carried = |place: Range<usize>, text: &str| {
            let lines: Vec<_> = text.lines().collect();
            lines[carried(&place, &changed_lines(base, text))].concat()
        };
        assert_eq!(carried(2..3, base), "c");
        assert_eq!(carried(2..3, "x\ny\na\nb\nc\nd\ne\n"), "c");
        assert_eq!(carried(2..3, "a\nc\nd\ne\nx\n"), "c");
        assert_eq!(carried(2..3, "a\nb\nx\nc\ny\nd\ne\n"), "xcy");
        assert_eq!(
            carried(2..3, "a\nx\nb\nc\nd\ny\ne\n"),
            "c",
            "what was added behind the lines beside it is not of it"
        );
        assert_eq!(carried(2..3, "a\nb\nC\nCC\nd\ne\n"), "CCC");
        assert_eq!(carried(2..3, "a\nb\nd\ne\n"), "");
        assert_eq!(carried(2..4, "x\na\nb\nc\nnew\nd\ne\n"), "cnewd");
        assert_eq!(carried(1..4, "a\nB\nc\nD\ne\n"), "BcD");
        assert_eq!(carried(1..3, "a\nall\nother\ne\n"), "allother", "one run reaches behind the place");
    }
}
