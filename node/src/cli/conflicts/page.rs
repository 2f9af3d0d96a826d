//! One conflict as a page: what was there, what each side did to it, what is shown now, and how to decide.

use aiemp_protocol::action::spelt;

use super::{
    ACTIVE_CONTENT, ADOPTION, CLAIM, CONTENT, DROPPED, FIELD, MASS_REMOVAL, MOVE, NAME, STRUCTURE, TEXT, found_lines,
    hunks::{self, Line, Numbers, broken},
};
use crate::shell::control::{WireConflict, WireSide};

const COLUMNS: usize = 80;
/// What stands for a content that is told and not shown.
const SHOWN: &str = "(shown)";

/// The page; `shown` is the text that lies in the vault, where the item does not bring it.
pub(super) fn of(item: &WireConflict, shown: Option<&str>) -> Vec<Line> {
    let mut page = vec![Line::heading(format!("{}  {}{}", item.kind, spelt(&item.path), super::place_of(item)))];
    page.extend(broken(what_happened(&item.kind), COLUMNS).into_iter().map(Line::plain));
    page.extend(found_lines(item).map(Line::plain));
    let texts: Vec<&str> = item.sides.iter().map(|side| text_of(side, shown)).collect();
    let merged = if item.merged == SHOWN { shown.unwrap_or(SHOWN) } else { &item.merged };
    if !is_about_texts(item) {
        places(item, &mut page);
    } else if let Some(base) = item.base.as_deref().filter(|base| !is_told(base)) {
        page.push(Line::heading("\nThey started from"));
        let read = texts.iter().copied().filter(|text| !is_told(text)).chain([merged]);
        page.extend(hunks::places(base, read, numbers_of(item)));
        for (number, (side, text)) in (1..).zip(item.sides.iter().zip(&texts)) {
            page.push(heading(number, side, ""));
            page.extend(done_to(base, text, numbers_of(item)));
        }
        page.push(Line::heading("\nShown now"));
        page.extend(shown_now(item, &texts, base, merged));
    } else {
        beside_each_other(item, &texts, &mut page);
    }
    page
}

/// What became of a text; where it is told and not shown, that.
fn done_to(base: &str, text: &str, numbers: Numbers) -> Vec<Line> {
    if is_told(text) {
        return told(text);
    }
    let found = hunks::hunks(base, text, numbers);
    match found.is_empty() {
        true if base == text => vec![Line::plain("  nothing")],
        true => vec![Line::plain("  nothing but where its last line ends")],
        false => found,
    }
}

fn shown_now(item: &WireConflict, texts: &[&str], base: &str, merged: &str) -> Vec<Line> {
    let of_side = (1..).zip(item.sides.iter().zip(texts)).find(|(_, (_, text))| **text == merged);
    match of_side {
        Some((number, (side, _))) => vec![Line::plain(format!("  what {number}. {} says", spelt(&side.node)))],
        None if merged == base => vec![Line::plain("  what they started from")],
        None => done_to(base, merged, numbers_of(item)),
    }
}

/// Sides that have nothing in common, or of which it is not known: the first as it is, the others beside it.
fn beside_each_other(item: &WireConflict, texts: &[&str], page: &mut Vec<Line>) {
    let mut first: Option<(usize, &str)> = None;
    for (number, (side, text)) in (1..).zip(item.sides.iter().zip(texts)) {
        match first {
            Some((of, before)) if !is_told(text) && item.kind != DROPPED => {
                page.push(heading(number, side, &format!(", beside {of}.")));
                page.extend(done_to(before, text, numbers_of(item)));
            }
            Some(_) | None => {
                page.push(heading(number, side, ""));
                if is_told(text) {
                    page.extend(told(text));
                } else {
                    page.extend(hunks::places(text, [""].into_iter(), numbers_of(item)));
                    first = first.or(Some((number, text)));
                }
            }
        }
    }
}

/// Where files lie, or what is known of contents that are no text.
fn places(item: &WireConflict, page: &mut Vec<Line>) {
    if let Some(base) = &item.base {
        page.push(Line::heading("\nThey started from"));
        page.extend(told(base));
    }
    for (number, side) in (1..).zip(&item.sides) {
        page.push(heading(number, side, ""));
        page.extend(told(&side.text));
    }
    page.push(Line::heading("\nShown now"));
    match item.kind.as_str() {
        // Each file under the name that its side says.
        NAME | ADOPTION => page.extend(item.sides.iter().flat_map(|side| told(&side.text))),
        _ => page.extend(told(&item.merged)),
    }
}

fn told(text: &str) -> Vec<Line> {
    text.lines().map(|line| Line::plain(format!("  {}", spelt(line)))).collect()
}

fn heading(number: usize, side: &WireSide, beside: &str) -> Line {
    Line::heading(format!("\n{number}. {}{}{beside}", spelt(&side.node), time(&side.hlc)))
}

/// A time as people read it; none where the item has none.
fn time(hlc: &str) -> String {
    match hlc.split_at_checked(19) {
        _ if hlc.starts_with("1970-") => String::new(),
        Some((whole, rest)) if rest.ends_with('Z') => format!(", {} UTC", spelt(whole.replace('T', " "))),
        Some(_) | None => format!(", {}", spelt(hlc)),
    }
}

fn text_of<'a>(side: &'a WireSide, shown: Option<&'a str>) -> &'a str {
    if side.text == SHOWN { shown.unwrap_or(SHOWN) } else { &side.text }
}

/// Whether a side is told in brackets, as what was deleted is, or what is no text.
fn is_told(text: &str) -> bool {
    text.starts_with('(') && text.ends_with(')') && !text.contains('\n')
}

/// Of a text conflict only the place is told.
fn numbers_of(item: &WireConflict) -> Numbers {
    if item.kind == TEXT { Numbers::Unknown } else { Numbers::Shown }
}

fn is_about_texts(item: &WireConflict) -> bool {
    matches!(
        item.kind.as_str(),
        FIELD | TEXT | STRUCTURE | "delete_edit" | "late_edit" | CONTENT | ACTIVE_CONTENT | DROPPED
    )
}

fn what_happened(kind: &str) -> &'static str {
    match kind {
        "field" => "A field was given several values at once. One of them is shown until somebody decides.",
        "text" => "Two changed one place of the text without having heard of each other. Words of both stand there.",
        "structure" => "Both wrote a whole note, and what came of them together is read as another one.",
        "delete_edit" => "One deleted the file; another wrote to it without knowing of that.",
        "late_edit" => "The note had moved on when another wrote to it. What was written is not shown.",
        "content" => "The file was replaced as a whole, or made twice, with two contents.",
        "blob" => "The file was replaced as a whole, or made twice, with two contents that are no text.",
        "move" => "The file was moved to several places at once.",
        "name" => "Two files have one name. One of them has a number instead.",
        "claim" => "Several took up this note without having heard of each other.",
        "dropped" => "What was written here is no edit of a note, and no node takes it.",
        "active_content" => "This note loads or runs something. It waits here until somebody releases it.",
        "mass_removal" => "Many files vanished from this disk within seconds.",
        _ => "",
    }
}

/// How it may be decided.
pub(super) fn ways(item: &WireConflict) -> Vec<String> {
    let own = |index: usize| item.sides.get(index).map_or_else(|| "NODE".to_owned(), |side| take_of(item, index, side));
    let with = ("--with FILE".to_owned(), "the text of that file stands");
    let both = |what| ("--take both".to_owned(), what);
    let each = |what| (0..item.sides.len()).map(|index| (own(index), what)).collect::<Vec<_>>();
    let ways = match item.kind.as_str() {
        ACTIVE_CONTENT => {
            vec![("--release".to_owned(), "show it"), (own(0), "keep what is shown"), with]
        }
        DROPPED => vec![(own(0), "the note as it is shown"), with],
        MASS_REMOVAL => vec![(own(0), "remove them on every node"), both("bring them back")],
        CLAIM => [each("has the work; the other copy goes"), vec![both("leave both copies")]].concat(),
        STRUCTURE => {
            [each("its front matter stands, with the text of both"), vec![both("what is shown stands"), with]].concat()
        }
        TEXT => [each("its lines stand there"), vec![both("what is shown stands"), with]].concat(),
        ADOPTION => [each("its file stays; the other goes"), vec![both("leave both"), with]].concat(),
        MOVE => [each("where it lies"), vec![both("it stays where it lies now")]].concat(),
        NAME => [each("whose file has the name; the other keeps its number"), vec![both("as they lie now")]].concat(),
        "delete_edit" => vec![(own(0), "it goes"), (own(1), "it stays"), both("it stays"), with],
        "late_edit" => vec![(own(0), "what it says stays out"), (own(1), "the old note comes back"), with],
        CONTENT | "blob" => [each("its content stands"), vec![both("both stand, one with a number"), with]].concat(),
        _ => [each("its value stands"), vec![both("what is shown stands"), with]].concat(),
    };
    let widest = ways.iter().map(|(way, _)| way.chars().count()).max().unwrap_or(0);
    let line = |(way, what): &(String, &str)| format!("  {way:<widest$}  {what}");
    let decide = format!("\nTo decide: aiemp-node conflicts resolve {} and one of", &item.id[..12]);
    std::iter::once(decide).chain(ways.iter().map(line)).collect()
}

/// How a side is named: by its node or, where one node has several, by its number.
fn take_of(item: &WireConflict, index: usize, side: &WireSide) -> String {
    let is_only = item.sides.iter().filter(|other| other.node == side.node).count() == 1;
    if is_only { format!("--take {}", spelt(&side.node)) } else { format!("--take {}", index + 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(kind: &str, base: Option<&str>, sides: &[(&str, &str)], merged: &str) -> WireConflict {
        let side = |(node, text): &(&str, &str)| WireSide {
            node: (*node).to_owned(),
            text: (*text).to_owned(),
            hlc: "2026-01-07T10:30:00.000Z".to_owned(),
        };
        WireConflict {
            id: "0123456789abcdef".to_owned(),
            kind: kind.to_owned(),
            path: "Plans/a.md".to_owned(),
            line: (kind == TEXT).then_some(9),
            field: (kind == FIELD).then(|| "amount".to_owned()),
            base: base.map(str::to_owned),
            sides: sides.iter().map(side).collect(),
            merged: merged.to_owned(),
            found: Vec::new(),
        }
    }

    fn text(page: &[Line]) -> String {
        page.iter().map(|line| format!("{}\n", line.text)).collect()
    }

    #[test]
    fn a_field_is_told_by_what_it_was_and_by_what_each_made_of_it() {
        let sides = [("laptop", "amount: 45"), ("cloud", "amount: 50")];
        let item = item(FIELD, Some("amount: 40"), &sides, "amount: 50");
        let expected = "\
field  Plans/a.md (amount)
A field was given several values at once. One of them is shown until somebody
decides.

They started from
    1 |   amount: 40

1. laptop, 2026-01-07 10:30:00 UTC
    1 | - amount: 40
      | + amount: 45

2. cloud, 2026-01-07 10:30:00 UTC
    1 | - amount: 40
      | + amount: 50

Shown now
  what 2. cloud says
";
        assert_eq!(text(&of(&item, None)), expected);
        let ways = "
To decide: aiemp-node conflicts resolve 0123456789ab and one of
  --take laptop  its value stands
  --take cloud   its value stands
  --take both    what is shown stands
  --with FILE    the text of that file stands";
        assert_eq!(super::ways(&item).join("\n"), ways);
    }

    #[test]
    fn a_place_of_a_text_is_told_by_what_each_made_of_it() {
        let sides = [("laptop", "a\nfor 45 EUR\nb\n"), ("cloud", "a\nfor 38 EUR, net\nb\n")];
        let item = item(TEXT, Some("a\nfor 40 EUR\nb\n"), &sides, "a\nfor 3845 EUR, net\nb\n");
        let expected = "\
text  Plans/a.md (line 9)
Two changed one place of the text without having heard of each other. Words of
both stand there.

They started from
      |   a
      |   for 40 EUR
      |   b

1. laptop, 2026-01-07 10:30:00 UTC
      |   a
      | - for 40 EUR
      | + for 45 EUR
      |   b

2. cloud, 2026-01-07 10:30:00 UTC
      |   a
      | - for 40 EUR
      | + for 38 EUR, net
      |   b

Shown now
      |   a
      | - for 40 EUR
      | + for 3845 EUR, net
      |   b
";
        assert_eq!(text(&of(&item, None)), expected);
    }

    #[test]
    fn a_deletion_is_told_and_an_edit_shown() {
        let sides = [("laptop", "(deleted)"), ("cloud", "one\ntwo EDIT\n")];
        let item = item("delete_edit", Some("one\ntwo\n"), &sides, "one\ntwo EDIT\n");
        let page = text(&of(&item, None));
        let expected = "
They started from
    1 |   one
    2 |   two

1. laptop, 2026-01-07 10:30:00 UTC
  (deleted)

2. cloud, 2026-01-07 10:30:00 UTC
    1 |   one
    2 | - two
      | + two EDIT

Shown now
  what 2. cloud says
";
        assert!(page.ends_with(expected), "{page}");
    }

    #[test]
    fn two_contents_without_a_common_one_are_shown_beside_each_other() {
        let sides = [("laptop", SHOWN), ("cloud", "one\nthree\n")];
        let told = item(CONTENT, None, &sides, SHOWN);
        let page = text(&of(&told, Some("one\ntwo\n")));
        let expected = "
1. laptop, 2026-01-07 10:30:00 UTC
    1 |   one
    2 |   two

2. cloud, 2026-01-07 10:30:00 UTC, beside 1.
    1 |   one
    2 | - two
      | + three
";
        assert!(page.ends_with(expected), "{page}");
        let page = text(&of(&told, None));
        assert!(page.contains("  (shown)\n"), "what is no text is told: {page}");
    }

    #[test]
    fn what_is_no_text_is_told_by_its_length_and_digest_and_places_by_their_names() {
        let sides = [("laptop", "(shown) 7 bytes, ab12"), ("cloud", "9 bytes, cd34")];
        let page = text(&of(&item("blob", Some("3 bytes, ef56"), &sides, "(shown) 7 bytes, ab12"), None));
        let started =
            "They started from\n  3 bytes, ef56\n\n1. laptop, 2026-01-07 10:30:00 UTC\n  (shown) 7 bytes, ab12\n";
        assert!(page.contains(started), "{page}");
        let moved = item(MOVE, Some("Plans/a.md"), &[("laptop", "Plans/b.md"), ("laptop", "Plans/c.md")], "Plans/b.md");
        assert!(text(&of(&moved, None)).ends_with("\nShown now\n  Plans/b.md\n"));
        let ways = super::ways(&moved).join("\n");
        let expected =
            "  --take 1     where it lies\n  --take 2     where it lies\n  --take both  it stays where it lies now";
        assert!(ways.ends_with(expected), "{ways}");
        let named = item(NAME, None, &[("laptop", "Plans/a.md"), ("cloud", "Plans/a (2).md")], "Plans/a (2).md");
        assert!(text(&of(&named, None)).ends_with("\nShown now\n  Plans/a.md\n  Plans/a (2).md\n"));
        assert!(super::ways(&named).join("\n").ends_with("\n  --take both    as they lie now"));
    }

    #[test]
    fn nothing_on_a_page_steers_a_terminal() {
        let steers = "\u{1b}[2J\u{202e}x\n";
        let mut hostile = item(FIELD, Some(steers), &[("clo\u{1b}ud", steers), ("b", "c\u{9b}")], "\u{7}");
        hostile.path = "Plans/\u{202e}dm.x".to_owned();
        hostile.field = Some("due\u{200b}".to_owned());
        for kind in [FIELD, CONTENT, DROPPED, MOVE, "delete_edit", "blob"] {
            hostile.kind = kind.to_owned();
            for base in [Some(steers.to_owned()), None] {
                hostile.base = base;
                let page = text(&of(&hostile, Some(steers))) + &super::ways(&hostile).join("\n");
                let steers = |c: char| !matches!(c, '\n' | ' '..='~' | '…');
                assert!(!page.contains(steers), "{kind}: {page:?}");
                assert!(page.contains("Plans/[U+202E RIGHT-TO-LEFT OVERRIDE]dm.x"), "{page}");
            }
        }
    }
}
