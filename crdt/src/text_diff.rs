//! What an edit replaced: bounded in time, exact in bytes.

use std::{collections::BTreeMap, ops::Range};

use similar::{Algorithm, DiffTag, capture_diff_slices};

/// Middles with more lines than this are replaced as one block. Comparing costs at most the square of it, about 20 ms;
/// and unlike a deadline, a count gives the same edit for the same texts on every machine.
pub(crate) const LINES_MAX: usize = 1_500;
/// Changed runs with more words than this are replaced whole.
const WORDS_MAX: usize = 800;
/// Runs of changed lines with more pairs of an old and a new line than this are replaced whole: looking which became
/// which costs a comparison of their words each.
const PAIRS_MAX: usize = 2_500;

/// Replace `delete` bytes at `at` (an offset into the old text) by `insert`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splice {
    /// Byte offset in the old text, on a character boundary.
    pub at: usize,
    /// Bytes to delete.
    pub delete: usize,
    /// Text to insert.
    pub insert: String,
}

/// The splices that turn `old` into `new`, in ascending order of `at`, none overlapping.
///
/// Common ends are trimmed, then lines are compared, then the words of lines that resemble each other. No splice reaches
/// from within one line into another: two people who add lines at one place would tear each other's.
pub fn splices(old: &str, new: &str) -> Vec<Splice> {
    let (start, old_end, new_end) = trim_lines(old, new);
    let (old_middle, new_middle) = (&old[start..old_end], &new[start..new_end]);
    if old_middle.is_empty() && new_middle.is_empty() {
        return Vec::new();
    }
    let whole = Run { at: start, old: old_middle, new: new_middle };
    let too_long = lines(old_middle).len() > LINES_MAX || lines(new_middle).len() > LINES_MAX;
    if old_middle.is_empty() || new_middle.is_empty() || too_long {
        return vec![whole.into_splice()];
    }
    let runs = changed_runs(old_middle, new_middle, start, lines);
    joined(runs.into_iter().flat_map(|run| run.by_lines()).flat_map(Run::by_words))
}

/// The runs of lines in which two texts differ: which of the old ones, and which of the new ones stand in their place.
/// Whether the last line ends is no difference.
pub fn changed_lines(old: &str, new: &str) -> Vec<(Range<usize>, Range<usize>)> {
    let (start, old_end, new_end) = trim_lines(old, new);
    let first = lines(&old[..start]).len();
    let unended =
        |text| lines(text).into_iter().map(|line| line.strip_suffix('\n').unwrap_or(line)).collect::<Vec<_>>();
    let (old_lines, new_lines) = (unended(&old[start..old_end]), unended(&new[start..new_end]));
    let shifted = |range: Range<usize>| first + range.start..first + range.end;
    if old_lines.len() > LINES_MAX || new_lines.len() > LINES_MAX {
        return vec![(shifted(0..old_lines.len()), shifted(0..new_lines.len()))];
    }
    let operations = capture_diff_slices(Algorithm::Myers, &old_lines, &new_lines).into_iter();
    let changed = operations.filter(|operation| operation.tag() != DiffTag::Equal);
    changed.map(|operation| (shifted(operation.old_range()), shifted(operation.new_range()))).collect()
}

/// How many bytes of `old` an edit to `new` leaves in place.
pub fn kept(old: &str, new: &str) -> usize {
    old.len() - splices(old, new).iter().map(|splice| splice.delete).sum::<usize>()
}

/// Splices of which none begins where the one before it ends.
fn joined(splices: impl Iterator<Item = Splice>) -> Vec<Splice> {
    let mut found: Vec<Splice> = Vec::new();
    for splice in splices {
        match found.last_mut() {
            Some(before) if before.at + before.delete == splice.at => {
                before.delete += splice.delete;
                before.insert.push_str(&splice.insert);
            }
            Some(_) | None => found.push(splice),
        }
    }
    found
}

/// `current`, which came from `after`, without what turned `before` into `after`; and whether all of that could be taken
/// back. Where something else was changed in the same place since, that stays.
pub fn revert(before: &str, after: &str, current: &str) -> (String, bool) {
    let since = splices(after, current);
    // Some of it may have been taken back before.
    let wanted = splices(after, before).into_iter().filter(|splice| !since.contains(splice));
    let (back, in_the_way): (Vec<_>, Vec<_>) =
        wanted.partition(|splice| !since.iter().any(|other| splice.overlaps(other)));
    let mut all: Vec<_> = back.iter().chain(&since).collect();
    all.sort_by_key(|splice| splice.at);
    (spliced(after, all), in_the_way.is_empty())
}

/// The text that splices in ascending order, none overlapping, make of `old`.
pub fn spliced<'a>(old: &str, splices: impl IntoIterator<Item = &'a Splice, IntoIter: DoubleEndedIterator>) -> String {
    let mut text = old.to_owned();
    for splice in splices.into_iter().rev() {
        text.replace_range(splice.at..splice.at + splice.delete, &splice.insert);
    }
    text
}

impl Splice {
    fn overlaps(&self, other: &Self) -> bool {
        self.at < other.at + other.delete && other.at < self.at + self.delete
    }
}

/// The lines of both texts between those that both begin and end with: `(start, end in old, end in new)`.
fn trim_lines(old: &str, new: &str) -> (usize, usize, usize) {
    let start = common_start(old, new);
    let start = old.as_bytes()[..start].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let mut tail = common_end(&old[start..], &new[start..]);
    let begins_line = |text: &str| text.as_bytes()[..text.len() - tail].last().is_none_or(|byte| *byte == b'\n');
    if !begins_line(old) || !begins_line(new) {
        let rest = &old.as_bytes()[old.len() - tail..];
        tail = rest.iter().position(|byte| *byte == b'\n').map_or(0, |at| rest.len() - at - 1);
    }
    (start, old.len() - tail, new.len() - tail)
}

/// The part of two lines between their common ends, on character boundaries and never inside a word. Half a word kept
/// would be torn when somebody else removes it.
fn trim_words(old: &str, new: &str) -> (usize, usize, usize) {
    let mut start = common_start(old, new);
    while !is_cut(old, start) || !is_cut(new, start) {
        start -= 1;
    }
    let mut tail = common_end(&old[start..], &new[start..]);
    while !is_cut(old, old.len() - tail) || !is_cut(new, new.len() - tail) {
        tail -= 1;
    }
    (start, old.len() - tail, new.len() - tail)
}

fn common_start(old: &str, new: &str) -> usize {
    old.bytes().zip(new.bytes()).take_while(|(a, b)| a == b).count()
}

fn common_end(old: &str, new: &str) -> usize {
    old.bytes().rev().zip(new.bytes().rev()).take_while(|(a, b)| a == b).count()
}

/// Whether a text may be cut here: between characters that are not both of one word.
fn is_cut(text: &str, at: usize) -> bool {
    let within_word = || {
        let before = text[..at].chars().next_back().is_some_and(char::is_alphanumeric);
        before && text[at..].chars().next().is_some_and(char::is_alphanumeric)
    };
    text.is_char_boundary(at) && !within_word()
}

/// What stands at `at` in the old text, and what in its place in the new one.
#[derive(Clone, Copy)]
struct Run<'a> {
    at: usize,
    old: &'a str,
    new: &'a str,
}

impl<'a> Run<'a> {
    fn into_splice(self) -> Splice {
        Splice { at: self.at, delete: self.old.len(), insert: self.new.to_owned() }
    }

    /// Changed lines: each that became another one by itself, and what was put between them or taken out.
    fn by_lines(self) -> Vec<Self> {
        let (old, new) = (lines(self.old), lines(self.new));
        if old.is_empty() || new.is_empty() || (old.len(), new.len()) == (1, 1) || old.len() * new.len() > PAIRS_MAX {
            return vec![self];
        }
        let (old_at, new_at) = (offsets(&old), offsets(&new));
        let part = |from: (usize, usize), to: (usize, usize)| Self {
            at: self.at + old_at[from.0],
            old: &self.old[old_at[from.0]..old_at[to.0]],
            new: &self.new[new_at[from.1]..new_at[to.1]],
        };
        let mut parts = Vec::new();
        let mut done = (0, 0);
        for (index, line) in old.iter().enumerate() {
            let successor = new.iter().enumerate().skip(done.1).find(|(_, other)| resemble(line, other));
            if let Some((other, _)) = successor {
                parts.push(part(done, (index, other)));
                parts.push(part((index, other), (index + 1, other + 1)));
                done = (index + 1, other + 1);
            }
        }
        parts.push(part(done, (old.len(), new.len())));
        parts.retain(|part| !part.old.is_empty() || !part.new.is_empty());
        parts
    }

    /// The changed words of one line that became another; several lines are replaced whole.
    fn by_words(self) -> Vec<Splice> {
        if lines(self.old).len() != 1 || lines(self.new).len() != 1 {
            return vec![self.into_splice()];
        }
        let (start, old_end, new_end) = trim_words(self.old, self.new);
        let (at, old, new) = (self.at + start, &self.old[start..old_end], &self.new[start..new_end]);
        let is_whole = old.is_empty() || new.is_empty();
        if is_whole || words(old).len() > WORDS_MAX || words(new).len() > WORDS_MAX {
            return vec![Run { at, old, new }.into_splice()];
        }
        changed_runs(old, new, at, words).into_iter().map(Run::into_splice).collect()
    }
}

/// Whether one line is likely to be the other after an edit: at least half of the longer one's words are in both.
fn resemble(one: &str, other: &str) -> bool {
    let is_word = |word: &&str| word.starts_with(char::is_alphanumeric);
    let of_one: Vec<_> = words(one).into_iter().filter(is_word).collect();
    let of_other: Vec<_> = words(other).into_iter().filter(is_word).collect();
    let longer = of_one.len().max(of_other.len());
    let mut left = BTreeMap::new();
    of_other.into_iter().for_each(|word| *left.entry(word).or_insert(0_usize) += 1);
    let mut shared = 0;
    for word in of_one {
        if let Some(count) = left.get_mut(word).filter(|count| **count > 0) {
            *count -= 1;
            shared += 1;
        }
    }
    shared > 0 && shared * 2 >= longer
}

/// The runs of tokens that differ between two texts, the first of which begins at offset `start`.
fn changed_runs<'a>(old: &'a str, new: &'a str, start: usize, cut: fn(&str) -> Vec<&str>) -> Vec<Run<'a>> {
    let (old_tokens, new_tokens) = (cut(old), cut(new));
    let (old_at, new_at) = (offsets(&old_tokens), offsets(&new_tokens));
    capture_diff_slices(Algorithm::Myers, &old_tokens, &new_tokens)
        .into_iter()
        .filter(|op| op.tag() != DiffTag::Equal)
        .map(|op| {
            let (old_range, new_range) = (op.old_range(), op.new_range());
            let at = old_at[old_range.start];
            Run {
                at: start + at,
                old: &old[at..old_at[old_range.end]],
                new: &new[new_at[new_range.start]..new_at[new_range.end]],
            }
        })
        .collect()
}

/// Where each token begins, and where the last one ends.
fn offsets(tokens: &[&str]) -> Vec<usize> {
    let ends = tokens.iter().scan(0, |sum, token| {
        *sum += token.len();
        Some(*sum)
    });
    std::iter::once(0).chain(ends).collect()
}

fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

/// Runs of letters and digits, runs of blanks, and single other characters.
fn words(text: &str) -> Vec<&str> {
    let class = |c: char| {
        if c.is_alphanumeric() {
            0
        } else if c == ' ' {
            1
        } else {
            2
        }
    };
    let mut words = Vec::new();
    let mut start = 0;
    let mut before = None;
    for (at, c) in text.char_indices() {
        let class = class(c);
        if before.is_some_and(|before| before != class || class == 2) {
            words.push(&text[start..at]);
            start = at;
        }
        before = Some(class);
    }
    if start < text.len() {
        words.push(&text[start..]);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_changed_word_is_all_that_is_replaced() {
        let found = splices("one\ntwo three four\nfive\n", "one\ntwo 3 four\nfive\n");
        assert_eq!(found, [Splice { at: 8, delete: 5, insert: "3".into() }]);
    }

    #[test]
    fn a_line_between_others_that_resemble_it_is_one_whole_line() {
        let found = splices("token 53.\ntoken 56.\n", "token 53.\ntoken 55.\ntoken 56.\n");
        assert_eq!(found, [Splice { at: 10, delete: 0, insert: "token 55.\n".into() }]);
        let found = splices("one token 56.\n", "one token 56, changed.\nfour\nother token 59.\n");
        let changed = Splice { at: 12, delete: 0, insert: ", changed".into() };
        assert_eq!(found, [changed, Splice { at: 14, delete: 0, insert: "four\nother token 59.\n".into() }]);
    }

    #[test]
    fn unrelated_large_texts_are_replaced_in_one_block() {
        let old: String = (0..5_000).map(|n| format!("old line {n}\n")).collect();
        let new: String = (0..5_000).map(|n| format!("new row {n}\n")).collect();
        assert_eq!(splices(&old, &new).len(), 1);
    }

    #[test]
    fn lines_that_differ_are_told_by_their_numbers() {
        assert_eq!(changed_lines("a\nb\nc\nd\n", "a\nB\nc\nd\ne\n"), [(1..2, 1..2), (4..4, 4..5)]);
        assert_eq!(changed_lines("a\nb", "a\nb\nc\n"), [(2..2, 2..3)]);
        assert_eq!(changed_lines("a\nb", "a\nb\n"), []);
        assert_eq!(changed_lines("", "a\n"), [(0..0, 0..1)]);
        assert_eq!(changed_lines("a\n", "a\n"), []);
    }

    #[test]
    fn what_was_done_is_taken_back_and_what_came_since_stays() {
        let before = "# Plan\n\nfirst\nsecond\nthird\n";
        let after = "# Plan\n\nfirst, for me\nsecond\nEVIL\nthird\n";
        let current = "# My plan\n\nfirst, for me\nsecond\nEVIL\nthird\nfourth\n";
        let expected = "# My plan\n\nfirst\nsecond\nthird\nfourth\n";
        assert_eq!(revert(before, after, current), (expected.to_owned(), true));
        assert_eq!(revert(before, after, after), (before.to_owned(), true));
        // What was deleted comes back between what was added on both sides of it.
        assert_eq!(revert("a\nb\nc\n", "a\nc\n", "a\nx\nc\ny\n").0, "a\nb\nx\nc\ny\n");
        let (text, whole) = revert("a\n", "a\nEVIL WORDS\n", "a\nEVIL good WORDS\n");
        assert_eq!((text.as_str(), whole), ("a\nEVIL good WORDS\n", false), "somebody else wrote into it");
    }

    proptest! {
        #[test]
        fn an_edit_is_taken_back_whole(before in "[ab\n]{0,40}", after in "[ab\n]{0,40}") {
            prop_assert_eq!(revert(&before, &after, &after), (before.clone(), true));
            prop_assert_eq!(revert(&after, &after, &before), (before, true));
        }

        #[test]
        fn the_splices_make_the_new_text(old in "([aé \n]{0,3}|x1|\n){0,12}", new in "([aé \n]{0,3}|x1|\n){0,12}") {
            let found = splices(&old, &new);
            prop_assert_eq!(spliced(&old, &found), new);
            prop_assert!(found.windows(2).all(|pair| pair[0].at + pair[0].delete <= pair[1].at));
        }
    }
}
