//! Splits a note into the keys of its front matter and its body, each with its line.

use super::{
    field::{Fault, is_control},
    reader::{IGNORED_KEYS, Refusal},
    scalar::{self, Inline, Scalar},
    spell,
};
use crate::limits::NOTE_BYTES_MAX;

/// A note whose fences were found; `refusals` tells which lines between them could not be read.
#[derive(Debug)]
pub(super) struct Note {
    pub(super) entries: Vec<Entry>,
    pub(super) refusals: Vec<Refusal>,
    /// Line ends are `\n`; one empty line after the closing fence is left out.
    pub(super) body: String,
    /// The line that the body starts on.
    pub(super) body_line: usize,
}

/// One key.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) line: usize,
    pub(super) key: String,
    pub(super) value: Value,
}

/// The value of a key; scalars with their lines.
#[derive(Debug)]
pub(super) enum Value {
    /// Nothing after the colon: the same as no key.
    Absent,
    One(Scalar),
    Many(Vec<(usize, Scalar)>),
    /// Could not be read; the refusal is noted.
    Refused,
}

const FENCE: &str = "---";

/// Reads a note; an error when there is no front matter to read keys from.
pub(super) fn read(note: &[u8]) -> Result<Note, Refusal> {
    if note.len() > NOTE_BYTES_MAX {
        let message = format!("the note is larger than {NOTE_BYTES_MAX} bytes");
        return Err(Refusal::new(1, message, "shorten it, or attach the text as a file"));
    }
    let text = std::str::from_utf8(note).map_err(|error| {
        let line = 1 + note.iter().take(error.valid_up_to()).filter(|byte| **byte == b'\n').count();
        Refusal::new(line, "the note is not UTF-8", "save it as UTF-8")
    })?;
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    if take_line(&mut rest) != Some(FENCE) {
        let fix = "a draft starts with `---` on its first line and has a key `action`";
        return Err(Refusal::new(1, super::NOT_A_DRAFT, fix));
    }
    let mut keys = Keys::default();
    let mut number = 1;
    while let Some(line) = take_line(&mut rest) {
        number += 1;
        if line.trim_end_matches(' ') == FENCE {
            let (body, body_line) = body(rest, number + 1);
            return Ok(Note { entries: keys.entries, refusals: keys.refusals, body, body_line });
        }
        if let Err(fault) = keys.read_line(number, line) {
            keys.refusals.push(Refusal::of(number, fault));
        }
    }
    Err(Refusal::new(1, "the front matter does not end", "close it with a line `---`"))
}

/// Takes a line off `rest`, without its `\n` or `\r\n`.
fn take_line<'a>(rest: &mut &'a str) -> Option<&'a str> {
    if rest.is_empty() {
        return None;
    }
    let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
    *rest = after;
    Some(line.strip_suffix('\r').unwrap_or(line))
}

fn body(text: &str, line: usize) -> (String, usize) {
    let text = text.replace("\r\n", "\n");
    match text.strip_prefix('\n') {
        Some(body) => (body.to_owned(), line + 1),
        None => (text, line),
    }
}

#[derive(Debug, Default)]
struct Keys {
    entries: Vec<Entry>,
    refusals: Vec<Refusal>,
    /// The last key had no value on its line, so items may follow; with their indentation once it is known.
    list: Option<Option<usize>>,
}

impl Keys {
    fn read_line(&mut self, number: usize, line: &str) -> Result<(), Fault> {
        if let Some(c) = line.chars().find(|c| is_unprintable(*c)) {
            let what = format!("the front matter holds the character {}", spell::line(&c.to_string()));
            return Err(Fault::new(what, "remove it, or write it as an escape in double quotes"));
        }
        let content = line.trim_matches(' ');
        if content.is_empty() || content.starts_with('#') {
            return Ok(());
        }
        let indent = line.len() - line.trim_start_matches(' ').len();
        if content == "-" || content.starts_with("- ") {
            return self.read_item(number, indent, content.trim_start_matches('-').trim_start_matches(' '));
        }
        if indent > 0 {
            let fix = "write each value on one line after its key, a list as [\"a\", \"b\"]";
            return Err(Fault::new("an indented line: values of several lines are not read", fix));
        }
        self.list = None;
        self.read_key(number, content)
    }

    fn read_key(&mut self, number: usize, content: &str) -> Result<(), Fault> {
        let fault =
            || Fault::new("not a line `key: value`", "write one key and its value, with a space after the colon");
        let (key, value) = content.split_once(':').ok_or_else(fault)?;
        let sign = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        let is_key = key.as_bytes().first().is_some_and(u8::is_ascii_alphabetic) && key.bytes().all(sign);
        if !is_key || !(value.is_empty() || value.starts_with(' ')) {
            return Err(fault());
        }
        if let Some(first) = self.entries.iter().find(|entry| entry.key == key) {
            let message = format!("`{key}` stands already on line {}", first.line);
            return Err(Fault::new(message, "keep one of them"));
        }
        let is_quoted = value.trim_start_matches(' ').starts_with(['"', '\'', '[']);
        // YAML ends a plain value at a comment; where the value has no effect, nobody can be misled by that.
        let value = match value.split_once(" #") {
            Some((before, _)) if IGNORED_KEYS.contains(&key) && !is_quoted => before,
            Some(_) | None => value,
        };
        // A key whose value is refused still counts as seen: its absence is not a second refusal.
        let (value, outcome) = match scalar::inline(value.trim_matches(' ')) {
            Ok(Inline::Nothing) => {
                self.list = Some(None);
                (Value::Absent, Ok(()))
            }
            Ok(Inline::One(scalar)) => (Value::One(scalar), Ok(())),
            Ok(Inline::Many(items)) => (Value::Many(items.into_iter().map(|item| (number, item)).collect()), Ok(())),
            Err(fault) => (Value::Refused, Err(Fault { message: format!("`{key}`: {}", fault.message), ..fault })),
        };
        self.entries.push(Entry { line: number, key: key.to_owned(), value });
        outcome
    }

    fn read_item(&mut self, number: usize, indent: usize, text: &str) -> Result<(), Fault> {
        let fault = || {
            Fault::new(
                "a list item that belongs to no key",
                "write the items under `key:`, all with the same indentation",
            )
        };
        let expected = self.list.as_mut().ok_or_else(fault)?;
        if *expected.get_or_insert(indent) != indent {
            return Err(fault());
        }
        let value = &mut self.entries.last_mut().ok_or_else(fault)?.value;
        match scalar::block(text) {
            Ok(item) => {
                match value {
                    Value::Many(items) => items.push((number, item)),
                    Value::Absent | Value::One(_) => *value = Value::Many(vec![(number, item)]),
                    Value::Refused => {}
                }
                Ok(())
            }
            Err(fault) => {
                *value = Value::Refused;
                Err(fault)
            }
        }
    }
}

/// Outside YAML's printable characters, or a line end or tab that readers treat differently.
fn is_unprintable(c: char) -> bool {
    is_control(c) || matches!(c, '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bom_and_crlf_are_accepted_and_one_empty_line_is_dropped() {
        let note = read("\u{feff}---\r\naction: email\r\n---\r\n\r\nHi,\r\n\r\nBye\r\n".as_bytes()).expect("a note");
        assert_eq!((note.body.as_str(), note.body_line), ("Hi,\n\nBye\n", 5));
        assert_eq!(note.entries.len(), 1);
        assert_eq!(read(b"---\n---\n\n\nx").expect("a note").body, "\nx");
        assert_eq!(read(b"---\n---").expect("a note").body, "");
    }

    #[test]
    fn block_lists_comments_and_empty_lines_read() {
        let note =
            read(b"---\nto:\n  - a@b.test\n\n  # me\n  - 'c@d.test'\ncc:\n- e@f.test\nbcc:\n---\n").expect("a note");
        assert!(note.refusals.is_empty(), "{:?}", note.refusals);
        let shapes: Vec<_> = note
            .entries
            .iter()
            .map(|entry| match &entry.value {
                Value::Many(items) => items.len(),
                Value::Absent | Value::One(_) | Value::Refused => 0,
            })
            .collect();
        assert_eq!(shapes, [2, 1, 0]);
    }

    #[test]
    fn every_bad_line_is_told_with_its_number() {
        let note = b"---\nsubject: Re: x\nto: [a\n  more\nnot a key\nkey:value\n\"q\": 1\nsubject: y\n- stray\n\
                     x:\n  - a\n    - b\nt: a\tb\n...\n---\n";
        let lines: Vec<_> = read(note).expect("a note").refusals.iter().map(|refusal| refusal.line).collect();
        assert_eq!(lines, [2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14]);
    }

    #[test]
    fn a_note_without_fences_has_no_keys() {
        for (note, line) in
            [(&b"# Title\n---\na: b\n---\n"[..], 1), (b"", 1), (b"---\na: b\n", 1), (b"---\na: b\n\xff\n---\n", 3)]
        {
            assert_eq!(read(note).expect_err("refused").line, line);
        }
    }
}
