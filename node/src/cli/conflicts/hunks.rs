//! What was done to a text, as lines of at most 80 columns: what stood there, and what stands in its place.

use std::ops::Range;

use aiemp_crdt::text_diff;
use aiemp_protocol::action::spelt;

/// Lines shown around what was changed.
const CONTEXT: usize = 3;
/// Columns beside the margin.
const COLUMNS: usize = 70;
/// Characters left before and after what was changed in a long line.
const AROUND: usize = 60;

/// What a line is, for whoever paints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    Plain,
    Heading,
    Taken,
    Added,
}

/// A line of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) ink: Ink,
    pub(super) text: String,
}

impl Numbers {
    fn of(self, at: usize) -> Option<usize> {
        (self == Self::Shown).then_some(at + 1)
    }
}

impl Line {
    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self { ink: Ink::Plain, text: text.into() }
    }

    pub(super) fn heading(text: impl Into<String>) -> Self {
        Self { ink: Ink::Heading, text: text.into() }
    }

    /// As it goes to a terminal.
    pub(super) fn painted(&self) -> String {
        let code = match self.ink {
            Ink::Plain => return self.text.clone(),
            Ink::Heading => "1",
            Ink::Taken => "31",
            Ink::Added => "32",
        };
        format!("\x1b[{code}m{}\x1b[0m", self.text)
    }
}

/// Whether lines have numbers: of a part of a text nobody knows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Numbers {
    Shown,
    Unknown,
}

/// The places of a text where any of the others differs from it, each with the lines around it.
pub(super) fn places<'a>(text: &str, others: impl Iterator<Item = &'a str>, numbers: Numbers) -> Vec<Line> {
    let changed = others.flat_map(|other| text_diff::changed_lines(text, other)).map(|(old, _)| old);
    let lines: Vec<&str> = text.lines().collect();
    let mut page = Vec::new();
    for place in with_context(changed.collect(), lines.len()) {
        gap(&mut page);
        place.for_each(|at| page.extend(rows(numbers.of(at), Ink::Plain, lines[at])));
    }
    page
}

/// What was done to a text, with the lines around it.
pub(super) fn hunks(old: &str, new: &str, numbers: Numbers) -> Vec<Line> {
    let (old_lines, new_lines): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let changed = text_diff::changed_lines(old, new);
    let places = with_context(changed.iter().map(|(old, _)| old.clone()).collect(), old_lines.len());
    let mut page = Vec::new();
    let mut changed = changed.into_iter().peekable();
    for place in places {
        gap(&mut page);
        let mut at = place.start;
        while let Some((taken, added)) = changed.next_if(|(taken, _)| taken.start <= place.end) {
            (at..taken.start).for_each(|at| page.extend(context(numbers.of(at), old_lines[at])));
            let pairs = (taken.len() == added.len()).then(|| taken.clone().zip(added.clone()));
            let (taken_as, added_as): (Vec<_>, Vec<_>) = match pairs {
                Some(pairs) => pairs.map(|(old, new)| around(old_lines[old], new_lines[new])).unzip(),
                None => (
                    taken.clone().map(|at| old_lines[at].to_owned()).collect(),
                    added.map(|at| new_lines[at].to_owned()).collect(),
                ),
            };
            for (at, line) in taken.clone().zip(&taken_as) {
                page.extend(rows(numbers.of(at), Ink::Taken, line));
            }
            added_as.iter().for_each(|line| page.extend(rows(None, Ink::Added, line)));
            at = taken.end;
        }
        (at..place.end).for_each(|at| page.extend(context(numbers.of(at), old_lines[at])));
    }
    page
}

/// Ranges of lines with those around them; what meets is one.
fn with_context(mut changed: Vec<Range<usize>>, count: usize) -> Vec<Range<usize>> {
    changed.sort_by_key(|range| range.start);
    let mut places: Vec<Range<usize>> = Vec::new();
    for range in changed {
        let (start, end) = (range.start.saturating_sub(CONTEXT), (range.end + CONTEXT).min(count));
        match places.last_mut() {
            Some(last) if start <= last.end => last.end = last.end.max(end),
            Some(_) | None => places.push(start..end),
        }
    }
    places
}

fn gap(page: &mut Vec<Line>) {
    if !page.is_empty() {
        page.push(Line::plain(format!("{:>5} |", "...")));
    }
}

/// A line that nobody changed: its beginning.
fn context(number: Option<usize>, line: &str) -> Vec<Line> {
    let spelt = spelt(line);
    let begins = broken(&spelt, COLUMNS - 2).swap_remove(0);
    let rest = if begins.len() < spelt.trim_end().len() { " …" } else { "" };
    let number = number.map(|number| number.to_string()).unwrap_or_default();
    vec![Line::plain(format!("{number:>5} |   {begins}{rest}").trim_end())]
}

/// A line with its number, broken where it is long; nothing in it steers a terminal.
fn rows(number: Option<usize>, ink: Ink, line: &str) -> Vec<Line> {
    let sign = match ink {
        Ink::Plain | Ink::Heading => ' ',
        Ink::Taken => '-',
        Ink::Added => '+',
    };
    let number = number.map(|number| number.to_string()).unwrap_or_default();
    let broken = broken(&spelt(line), COLUMNS).into_iter().enumerate();
    let row = |(row, text): (usize, String)| {
        let margin = if row == 0 { format!("{number:>5} | {sign}") } else { format!("{:>5} |  ", "") };
        Line { ink, text: format!("{margin} {text}").trim_end().to_owned() }
    };
    broken.map(row).collect()
}

/// A text in rows of so many columns, broken between words where that goes.
pub(super) fn broken(text: &str, columns: usize) -> Vec<String> {
    let mut rows = Vec::new();
    let mut rest = text;
    while let Some((end, next)) = rest.char_indices().nth(columns) {
        let space = if next == ' ' { Some(end) } else { rest[..end].rfind(' ') };
        let end = space.map(|space| space + 1).filter(|end| *end > columns / 2).unwrap_or(end);
        rows.push(rest[..end].trim_end().to_owned());
        rest = &rest[end..];
    }
    rows.push(rest.to_owned());
    rows
}

/// Two long lines without most of what both begin and end with.
fn around(old: &str, new: &str) -> (String, String) {
    let (old_chars, new_chars): (Vec<char>, Vec<char>) = (old.chars().collect(), new.chars().collect());
    let shorter = old_chars.len().min(new_chars.len());
    if shorter <= 2 * COLUMNS {
        return (old.to_owned(), new.to_owned());
    }
    let start = old_chars.iter().zip(&new_chars).take_while(|(a, b)| a == b).count();
    let ends = old_chars.iter().rev().zip(new_chars.iter().rev());
    let tail = ends.take(shorter - start).take_while(|(a, b)| a == b).count();
    let cut = |chars: &[char]| {
        let (from, until) = (start.saturating_sub(AROUND), chars.len() - tail.saturating_sub(AROUND));
        // From the beginning of a word to the end of one.
        let from = (from..start).find(|at| *at == 0 || chars[at - 1] == ' ').unwrap_or(from);
        let until = (chars.len() - tail..until).rev().find(|at| chars[*at] == ' ').unwrap_or(until);
        let middle: String = chars[from..until].iter().collect();
        format!("{}{middle}{}", if from > 0 { "… " } else { "" }, if until < chars.len() { " …" } else { "" })
    };
    (cut(&old_chars), cut(&new_chars))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(page: &[Line]) -> Vec<&str> {
        page.iter().map(|line| line.text.as_str()).collect()
    }

    fn hunks(old: &str, new: &str) -> Vec<Line> {
        super::hunks(old, new, Numbers::Shown)
    }

    #[test]
    fn a_part_of_a_text_has_no_numbers() {
        assert_eq!(
            text(&super::hunks("a\nb\n", "a\nc\n", Numbers::Unknown)),
            ["      |   a", "      | - b", "      | + c"]
        );
    }

    #[test]
    fn what_was_changed_stands_between_three_lines_before_and_after() {
        let old: String = (1..=20).map(|number| format!("line {number}\n")).collect();
        let new = old.replace("line 5\n", "line five\n").replace("line 18\n", "");
        let expected = [
            "    2 |   line 2",
            "    3 |   line 3",
            "    4 |   line 4",
            "    5 | - line 5",
            "      | + line five",
            "    6 |   line 6",
            "    7 |   line 7",
            "    8 |   line 8",
            "  ... |",
            "   15 |   line 15",
            "   16 |   line 16",
            "   17 |   line 17",
            "   18 | - line 18",
            "   19 |   line 19",
            "   20 |   line 20",
        ];
        let page = hunks(&old, &new);
        assert_eq!(text(&page), expected);
        assert_eq!((page[3].ink, page[4].ink, page[5].ink), (Ink::Taken, Ink::Added, Ink::Plain));
        let base = places(&old, [new.as_str(), "line 0\n"].into_iter(), Numbers::Shown);
        assert_eq!(base.len(), 20, "another replaced all of it");
        assert_eq!(text(&places(&old, [new.as_str()].into_iter(), Numbers::Shown))[3], "    5 |   line 5");
    }

    #[test]
    fn what_is_added_and_taken_at_the_ends_is_shown() {
        assert_eq!(text(&hunks("", "a\nb\n")), ["      | + a", "      | + b"]);
        assert_eq!(text(&hunks("a\n", "")), ["    1 | - a"]);
        assert_eq!(text(&hunks("a\n", "a\nb\n")), ["    1 |   a", "      | + b"]);
        assert_eq!(text(&hunks("a\n", "a\n")), Vec::<&str>::new());
    }

    #[test]
    fn no_row_is_wider_than_a_terminal_and_a_long_line_shows_what_was_changed_in_it() {
        let words = "some words that nobody changed and that go on for a while, ";
        let (old, new) = (
            format!("{}40 EUR, {}", words.repeat(6), words.repeat(6)),
            format!("{}45 EUR, {}", words.repeat(6), words.repeat(6)),
        );
        let page = hunks(&format!("{words}{words}\n{old}\n"), &format!("{words}{words}\n{new}\n"));
        assert!(page.iter().all(|line| line.text.chars().count() <= 80), "{page:#?}");
        let rows = text(&page);
        assert_eq!(rows[0], "    1 |   some words that nobody changed and that go on for a while, some …");
        assert!(rows[1].starts_with("    2 | - … ") && rows.iter().any(|row| row.contains("40 EUR,")), "{rows:#?}");
        assert!(page.len() <= 7, "{rows:#?}");
    }

    #[test]
    fn nothing_in_a_line_steers_a_terminal() {
        assert_eq!(
            text(&hunks("a\n", "\u{1b}[2J\u{202e}\n"))[1],
            "      | + [U+001B ESCAPE][2J[U+202E RIGHT-TO-LEFT OVERRIDE]"
        );
        assert_eq!(Line { ink: Ink::Added, text: "x".to_owned() }.painted(), "\u{1b}[32mx\u{1b}[0m");
    }
}
