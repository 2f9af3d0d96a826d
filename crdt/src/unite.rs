//! Two texts of one day log as one, entry by entry.
//!
//! Edits that came together have a past in common, so what both added is theirs, however alike. Two contents that met later
//! have none: what stands in both stands once.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use crate::{
    array::{self, Array},
    members,
    note::{FrontMatter, Note},
    shape::Shape,
    text_diff,
};

/// What is shown, and behind it what the other content has beyond it, in the order of that one. Where it is known what the
/// other was when the shown one took its place, only what it got since is added.
///
/// None where nobody can tell what belongs together: both have a front matter, and it is not the same, or what should be
/// arrays is another JSON.
pub(crate) fn united(shape: Shape, shown: &str, other: &str, before: Option<&str>) -> Option<String> {
    if let (Shape::Array, Some(of_shown), Some(of_other)) = (shape, Array::or_empty(shown), Array::or_empty(other)) {
        let before = before.and_then(Array::or_empty).map(|array| array.elements);
        let added = beyond(before.as_ref().unwrap_or(&of_shown.elements), &of_other.elements, array::squeezed);
        if added.is_empty() {
            return Some(shown.to_owned());
        }
        let style = if of_shown.elements.is_empty() { &of_other } else { &of_shown };
        return Some(style.with(&[of_shown.elements.as_slice(), &added].concat()));
    }
    if shape == Shape::Array && !are_lines(&[shown, other]) {
        return None;
    }
    let (mut note, other) = (Note::parse_as(shown, shape), Note::parse_as(other, shape));
    let fields = |note: &Note| note.front_matter.as_ref().map(|front_matter: &FrontMatter| front_matter.blocks.clone());
    match (fields(&note), fields(&other)) {
        (Some(one), Some(two)) if one != two => return None,
        (None, Some(_)) if !note.body.is_empty() => return None,
        (None, Some(_)) => note.front_matter.clone_from(&other.front_matter),
        (Some(_), Some(_)) | (_, None) => {}
    }
    let before = before.map(|before| Note::parse_as(before, shape));
    let added = beyond(&lines(&before.as_ref().unwrap_or(&note).body), &lines(&other.body), line_as_such).concat();
    note.is_unended = if note.body.is_empty() { other.is_unended } else { note.is_unended };
    note.body.push_str(&added);
    Some(note.to_text())
}

/// What two sides made of the text of a day log, entry by entry: each keeps the order of its own, and where both added
/// something that of the first comes first. None where it has no entries.
pub(crate) fn merged(shape: Shape, base: &str, one: &str, other: &str) -> Option<String> {
    let arrays = || Some([Array::or_empty(base)?, Array::or_empty(one)?, Array::or_empty(other)?]);
    match (shape, arrays()) {
        (Shape::Note | Shape::State, _) => None,
        (Shape::Array, Some([base, one, other])) => {
            let entries = merged_entries([&base.elements, &one.elements, &other.elements], array::squeezed);
            let style = if one.elements.is_empty() { &other } else { &one };
            Some(style.with(&entries))
        }
        (Shape::Array, _) if !are_lines(&[base, one, other]) => None,
        (Shape::Array | Shape::Lines, _) => {
            let [base, one, other] = [base, one, other].map(lines);
            Some(merged_entries([&base, &one, &other], line_as_such).concat())
        }
    }
}

fn merged_entries<'a>([base, one, other]: [&[&'a str]; 3], key: impl Key) -> Vec<&'a str> {
    let runs = [changed(base, one, key), changed(base, other, key)];
    if runs.iter().any(|runs| is_uncompared(runs)) {
        return merged_by_keys([base, one, other], key);
    }
    let [by_one, by_other] = runs;
    let taken_out = |runs: &[Run]| runs.iter().flat_map(|(old, _)| old.clone()).collect::<BTreeSet<_>>();
    let out = [taken_out(&by_one), taken_out(&by_other)];
    let taken_by_both = out[0].intersection(&out[1]).map(|at| base[*at]);
    // What both made of the same they made once.
    let is_same = |(old, new): &Run| {
        let by_one = by_one.iter().find(|(by_one, _)| by_one == old);
        !old.is_empty() && by_one.is_some_and(|(_, by_one)| one[by_one.clone()] == other[new.clone()])
    };
    let (together, by_other): (Vec<_>, Vec<_>) = by_other.into_iter().partition(is_same);
    // What both took out and put elsewhere they moved: merges further back may have come to another order than what these
    // started from. It stands where the first put it.
    let mut moved = Counts::of(taken_by_both, key);
    for entry in put(other, &together) {
        moved.take(entry, key);
    }
    if !moved.0.is_empty() {
        moved.at_most(&Counts::of(put(one, &by_one), key));
    }
    let mut added = vec![Vec::new(); base.len() + 1];
    by_one.iter().for_each(|(old, new)| added[old.start].extend(&one[new.clone()]));
    for (old, new) in &by_other {
        added[old.start].extend(other[new.clone()].iter().filter(|entry| !moved.take(entry, key)));
    }
    let is_kept = |at: &usize| !out.iter().any(|out| out.contains(at));
    let kept = |at: usize| base.get(at).filter(|_| is_kept(&at)).copied();
    added.into_iter().enumerate().flat_map(|(at, added)| added.into_iter().chain(kept(at))).collect()
}

/// What runs put in the place of what they took out.
fn put<'a>(side: &[&'a str], runs: &[Run]) -> impl Iterator<Item = &'a str> {
    runs.iter().flat_map(|(_, new)| side[new.clone()].iter().copied())
}

/// Whether too much differs to tell which entries do: it is one run, of entries that stand in both as well.
fn is_uncompared(runs: &[Run]) -> bool {
    let is_long =
        |(old, new): &Run| !old.is_empty() && !new.is_empty() && old.len().max(new.len()) > text_diff::LINES_MAX;
    runs.len() == 1 && runs.iter().any(is_long)
}

/// The same wherever an entry stands: what all three have, in the order of what both started from, and then what each side
/// has beyond that.
fn merged_by_keys<'a>([base, one, other]: [&[&'a str]; 3], key: impl Key) -> Vec<&'a str> {
    let mut gone = Counts::default();
    for side in [one, other] {
        for (entry, count) in Counts::of(beyond(side, base, key), key).0 {
            let most = gone.0.entry(entry).or_default();
            *most = count.max(*most);
        }
    }
    // Of entries alike the last are those that one side lacks, as in what it has beyond.
    let mut kept: Vec<_> = base.iter().rev().filter(|entry| !gone.take(entry, key)).copied().collect();
    kept.reverse();
    [kept, beyond(base, one, key), beyond(base, other, key)].concat()
}

/// Whether two sides may have changed the same lines, as far as lines are what tells. Commas are no entries, an array or an
/// object may be one line, and of an object each member is told.
pub(crate) fn is_of_lines(
    shape: Shape,
    base: &str,
    one: &str,
    other: &str,
    meets: impl Fn(&Range<usize>, &Range<usize>) -> bool,
) -> bool {
    match shape {
        Shape::Note => return true,
        Shape::State => return members::disputed(&[base], one, other).is_none(),
        Shape::Lines | Shape::Array => {}
    }
    let arrays = || Some([Array::or_empty(base)?, Array::or_empty(one)?, Array::or_empty(other)?]);
    let [one, other] = match arrays().filter(|_| shape == Shape::Array) {
        Some([base, one, other]) => [one, other].map(|side| changed(&base.elements, &side.elements, array::squeezed)),
        None => [one, other].map(|side| changed(&lines(base), &lines(side), line_as_such)),
    };
    one.iter().any(|(run, _)| other.iter().any(|(by_other, _)| meets(run, by_other)))
}

type Run = (Range<usize>, Range<usize>);

/// The runs of entries in which two texts differ.
fn changed(old: &[&str], new: &[&str], key: impl Key) -> Vec<Run> {
    let by_lines = |entries: &[&str]| entries.iter().map(|entry| format!("{}\n", key(entry))).collect::<String>();
    text_diff::changed_lines(&by_lines(old), &by_lines(new))
}

/// Whether these are a JSON value a line. One value alone may be an object, of which each line is a part.
fn are_lines(texts: &[&str]) -> bool {
    let is_value = |line: &str| serde_json::from_str::<serde_json::Value>(line).is_ok();
    let filled = |text: &&str| text.lines().filter(|line| !line.trim().is_empty()).count();
    let mut all = texts.iter().flat_map(|text| text.lines()).filter(|line| !line.trim().is_empty());
    texts.iter().any(|text| filled(text) > 1) && all.all(is_value)
}

fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

/// A line as it is told from others: by what stands in it.
fn line_as_such(line: &str) -> String {
    line.trim_end().to_owned()
}

/// The entries of `other` that `there` has not as often, in their order.
fn beyond<'a>(there: &[&str], other: &[&'a str], key: impl Key) -> Vec<&'a str> {
    let mut left = Counts::of(there.iter().copied(), key);
    other.iter().filter(|entry| !left.take(entry, key)).copied().collect()
}

/// What tells an entry from others.
trait Key: Fn(&str) -> String + Copy {}

impl<F: Fn(&str) -> String + Copy> Key for F {}

/// How often entries stand somewhere, by what tells them from others.
#[derive(Default)]
struct Counts(BTreeMap<String, usize>);

impl Counts {
    fn of<'a>(entries: impl IntoIterator<Item = &'a str>, key: impl Key) -> Self {
        let mut counts = Self::default();
        entries.into_iter().for_each(|entry| *counts.0.entry(key(entry)).or_default() += 1);
        counts
    }

    /// No more of any entry than there are in the others.
    fn at_most(&mut self, others: &Self) {
        for (entry, count) in &mut self.0 {
            *count = (*count).min(others.0.get(entry).copied().unwrap_or_default());
        }
    }

    /// Takes one such entry out; whether there was any.
    fn take(&mut self, entry: &str, key: impl Key) -> bool {
        let left = if self.0.is_empty() { None } else { self.0.get_mut(&key(entry)) };
        let Some(left) = left.filter(|left| **left > 0) else { return false };
        *left -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of_lines(shown: &str, other: &str, before: Option<&str>) -> Option<String> {
        united(Shape::Lines, shown, other, before)
    }

    #[test]
    fn what_stands_in_both_stands_once_and_each_keeps_its_order() {
        assert_eq!(of_lines("a\nb\nx\n", "a\nb\ny\nz\n", None).as_deref(), Some("a\nb\nx\ny\nz\n"));
        assert_eq!(of_lines("a\na\n", "a\na\na\n", None).as_deref(), Some("a\na\na\n"), "three of them were written");
        assert_eq!(of_lines("a\nx", "a\ny", None).as_deref(), Some("a\nx\ny"), "neither ended its last line");
        assert_eq!(of_lines("a\r\nx\r\n", "a\ny\n", None).as_deref(), Some("a\r\nx\r\ny\r\n"));
        assert_eq!(of_lines("", "a\ny", None).as_deref(), Some("a\ny"));
        assert_eq!(of_lines("a\nok\n", "a\nok\n", Some("a\n")).as_deref(), Some("a\nok\nok\n"), "written by two");
        let array = united(Shape::Array, "[\n  {\"n\": 1},\n  {\"n\": 2}\n]\n", "[{\"n\":1},{\"n\":3}]", None);
        assert_eq!(array.as_deref(), Some("[\n  {\"n\": 1},\n  {\"n\": 2},\n  {\"n\":3}\n]\n"));
        let empty = united(Shape::Array, "[]\n", "[\n  1\n]\n", None);
        assert_eq!(empty.as_deref(), Some("[\n  1\n]\n"));
        let lines = united(Shape::Array, "{\"n\":1}\n", "{\"n\":1}\n{\"n\":2}\n", None);
        assert_eq!(lines.as_deref(), Some("{\"n\":1}\n{\"n\":2}\n"), "an entry a line");
    }

    #[test]
    fn what_both_add_is_in_the_merge_and_what_neither_touched_stands_once() {
        let of = |shape, base, one, other| merged(shape, base, one, other).expect("a day log");
        assert_eq!(of(Shape::Lines, "a\nb\n", "a\nb\nok\n", "a\nb\nok\nc\n"), "a\nb\nok\nok\nc\n");
        assert_eq!(of(Shape::Lines, "a\nb\n", "b\nx\n", "a\ny\n"), "y\nx\n", "what one took out");
        assert_eq!(of(Shape::Lines, "a\n", "A\n", "A\n"), "A\n", "the same of the same");
        assert_eq!(of(Shape::Lines, "", "a\n", ""), "a\n");
        assert_eq!(of(Shape::Lines, "a\nb\nc\n", "b\nx\na\nc\n", "b\nc\na\ny\n"), "b\nx\na\nc\ny\n", "moved by both");
        assert_eq!(of(Shape::Lines, "a\nb\n", "c\nb\nok\n", "c\nb\nok\n"), "c\nb\nok\nok\n", "written by two");
        assert_eq!(of(Shape::Lines, "a\nb\nc\n", "b\na\nc\n", "b\na\nc\n"), "b\na\nc\n", "moved alike");
        let pretty = "[\n  {\n    \"n\": 1\n  },\n  {\n    \"n\": 2\n  }\n]";
        let both = "[\n  {\"n\":1},\n  {\n    \"n\": 2\n  },\n  {\"n\":3}\n]";
        assert_eq!(of(Shape::Array, "[{\"n\":1}]", pretty, "[{\"n\":1},{\"n\":3}]"), both);
        assert_eq!(of(Shape::Array, "", "[1]", "[2]"), "[1,2]");
        assert_eq!(of(Shape::Array, "1\n", "1\n2\n", "1\n3\n"), "1\n2\n3\n", "an entry a line");
        assert_eq!(merged(Shape::Note, "", "a", "b"), None);
        assert_eq!(of(Shape::Array, "", "[\n  1\n]", ""), "[\n  1\n]");
    }

    #[test]
    fn an_object_that_holds_the_entries_is_no_union_of_its_lines() {
        let pretty = |entry: usize| format!("{{\n  \"day\": 7,\n  \"entries\": [\n    1,\n    {entry}\n  ]\n}}\n");
        let flat = |entry: usize| format!("{{\"day\":7,\"entries\":[1,{entry}]}}\n");
        for [base, one, other] in [[1, 2, 3].map(pretty), [1, 2, 3].map(flat), [flat(1), pretty(2), flat(3)]] {
            assert_eq!(merged(Shape::Array, &base, &one, &other), None);
            assert_eq!(united(Shape::Array, &one, &other, None), None);
            assert_eq!(united(Shape::Array, &one, &other, Some(&base)), None);
        }
        assert_eq!(united(Shape::Array, "", "[\n  1\n]\n", None).as_deref(), Some("[\n  1\n]\n"));
        assert_eq!(united(Shape::Array, "[1]", "", None).as_deref(), Some("[1]"));
    }

    #[test]
    fn of_a_log_that_is_too_long_to_compare_each_entry_stands_once() {
        let entries = |numbers: Range<usize>| numbers.map(|number| format!("- {number}\n")).collect::<String>();
        let base = entries(0..2_000);
        // One set its first and last lines in another way, so what is between is too long.
        let one = format!("- first\n{}- last\n- here\n", entries(1..1_999));
        let both = merged(Shape::Lines, &base, &one, &format!("- zero\n{base}- there\n")).expect("a day log");
        assert_eq!(both, format!("{}- first\n- last\n- here\n- zero\n- there\n", entries(1..1_999)));
        assert_eq!(
            merged(Shape::Lines, &base, &format!("{base}- a\n"), &format!("{base}- a\n")).expect("a day log"),
            format!("{base}- a\n- a\n")
        );
        let values: Vec<_> = (0..2_000).collect();
        let array = |first: usize, last: &str| {
            format!("[{first},{}{last}]", values.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
        };
        let both = merged(Shape::Array, &array(5, ""), &array(6, ",7000"), &array(5, ",8000")).expect("a day log");
        let both: Vec<usize> = serde_json::from_str(&both).expect("an array");
        assert_eq!(both.len(), 2_003);
    }

    #[test]
    fn sides_that_add_change_no_entry_of_each_other() {
        let crosses = |one: &Range<usize>, other: &Range<usize>| one.start < other.end && other.start < one.end;
        let meet = |base, one, other| is_of_lines(Shape::Array, base, one, other, crosses);
        let (base, added) = ("[{\"a\":1},{\"a\":2}]", "[{\"a\":1},{\"a\":2},{\"a\":3}]");
        assert!(!meet(base, added, "[\n  {\"a\": 1},\n  {\"a\": 2},\n  {\"a\": 4}\n]\n"));
        assert!(meet(base, "[{\"a\":1},{\"a\":5}]", "[{\"a\":1},{\"a\":6}]"));
        assert!(meet("a\n", "b\n", "c\n") && !meet("a\n", "a\nb\n", "a\nc\n"));
    }

    #[test]
    fn a_front_matter_that_both_have_in_their_own_way_is_for_a_person() {
        let log = |field: &str, line: &str| format!("---\nday: {field}\n---\n- {line}\n");
        assert_eq!(of_lines(&log("1", "a"), &log("1", "b"), None), Some(format!("{}- b\n", log("1", "a"))));
        assert_eq!(of_lines(&log("1", "a"), &log("2", "b"), None), None);
        assert_eq!(of_lines("- a\n", &log("2", "b"), None), None);
    }

    proptest! {
        #[test]
        fn a_union_has_all_of_both_and_adding_the_same_again_changes_nothing(
            one in "([abc]\n){0,8}[ab]?", other in "([abc]\n){0,8}[ab]?",
        ) {
            let both = of_lines(&one, &other, None).expect("no front matter");
            prop_assert_eq!(of_lines(&both, &other, None), Some(both.clone()));
            prop_assert_eq!(of_lines(&both, &one, None), Some(both.clone()));
            prop_assert!(both.starts_with(&one));
            let count = |text: &str, entry: &str| text.lines().filter(|line| *line == entry).count();
            for entry in ["a", "b", "c"] {
                prop_assert_eq!(count(&both, entry), count(&one, entry).max(count(&other, entry)));
            }
        }
    }
}
