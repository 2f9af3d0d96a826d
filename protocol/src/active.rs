//! Active content: what makes a viewer of notes load, run or open something that nobody asked for.
//!
//! Obsidian and its plugins, and browsers, are what notes are looked at with. What is found here comes from a Cloud that
//! may be anybody's: it waits on Local until the person has released it. The finder rather finds too much: code blocks and
//! backslashes protect nothing, for plugins and other viewers read the raw text. A text is looked at as it is and without
//! what cannot be seen in it, and addresses also with entities, percent signs and backslashes taken off. Where viewers
//! may read a text in more than one way, it is active if it is so in one of them.

use std::collections::BTreeSet;

use aiemp_keys::{Hash, cbor};

use crate::{ids::ConflictId, vault_path::VaultPath};

mod code;
mod definitions;
mod links;
mod quoted;
mod tags;
#[cfg(test)]
mod tests;
mod texts;

use texts::{Format, Text};

/// Findings that are told one by one: a person reads no more, and each costs an item of the log when it is released.
const FINDINGS_MAX: usize = 64;
/// What is shown of a finding.
const BEGINNING_CHARS: usize = 40;

/// What a piece of active content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ActiveKind {
    /// A picture or page that is fetched from elsewhere when the note is shown.
    Remote,
    /// HTML that loads, runs or sends something.
    Html,
    /// An address that acts when it is followed.
    Link,
    /// Code that a plugin runs when the note is shown.
    Code,
    /// A command that Templater runs.
    Template,
    /// More of all that than is told one by one: the whole text.
    Many,
    /// A whole file that is a program to what opens it, or that is read by rules of its own.
    File,
}

impl ActiveKind {
    /// The word for it in listings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Remote => "loads from elsewhere",
            Self::Html => "HTML that loads or runs",
            Self::Link => "a link that acts",
            Self::Code => "code that a plugin runs",
            Self::Template => "a template command",
            Self::Many => "more than can be listed",
            Self::File => "a file that loads or runs as a whole",
        }
    }

    /// Part of every release: it does not change.
    const fn number(self) -> u64 {
        match self {
            Self::Remote => 0,
            Self::Html => 1,
            Self::Link => 2,
            Self::Code => 3,
            Self::Template => 4,
            Self::Many => 5,
            Self::File => 6,
        }
    }
}

/// One piece of active content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: ActiveKind,
    /// Its line, from 1.
    pub line: usize,
    /// How it begins; what stands there may deceive, so it is spelt where it is shown.
    pub begins: String,
    /// What a resolve item names to release it, wherever it stands: a function of the piece alone.
    pub release: ConflictId,
}

/// A piece of a text as it was found.
struct Piece {
    kind: ActiveKind,
    start: usize,
    end: usize,
    /// What it depends on elsewhere in the text.
    with: String,
}

impl Piece {
    const fn new(kind: ActiveKind, start: usize, end: usize) -> Self {
        Self { kind, start, end, with: String::new() }
    }
}

/// Everything active in a file, each piece once, in the order of the text.
pub fn find(path: &VaultPath, bytes: &[u8]) -> Vec<Finding> {
    let Some(format) = Format::of(&path.extension(), bytes) else { return Vec::new() };
    if format == Format::Whole || (format == Format::Html && texts::may_be_read_otherwise(bytes)) {
        let text = String::from_utf8_lossy(bytes);
        return vec![finding(&text, 1, &Piece::new(ActiveKind::File, 0, text.len()))];
    }
    if !may_hold_any(bytes) {
        return Vec::new();
    }
    let mut seen = BTreeSet::new();
    let mut findings = Vec::new();
    for text in texts::readings(bytes, format) {
        let pieces = pieces(&text, format);
        if pieces.len() > FINDINGS_MAX {
            let text = texts::visible(&text.text);
            return vec![finding(&text, 1, &Piece::new(ActiveKind::Many, 0, text.len()))];
        }
        let (mut line, mut counted) = (1, 0);
        for piece in &pieces {
            line += text.text.as_bytes()[counted..piece.start].iter().filter(|byte| **byte == b'\n').count();
            counted = piece.start;
            let found = finding(&text.text, line, piece);
            if seen.insert(found.release) {
                findings.push(found);
            }
        }
    }
    findings.sort_by_key(|finding| finding.line);
    findings
}

/// Plain prose has none of the signs that everything active begins with.
fn may_hold_any(bytes: &[u8]) -> bool {
    bytes.iter().any(is_sign)
}

const fn is_sign(byte: &u8) -> bool {
    matches!(byte, b'<' | b'!' | b']' | b'`' | b'~' | b':' | b'"' | b'\\')
}

fn pieces(text: &Text, format: Format) -> Vec<Piece> {
    let definitions = definitions::definitions(text.unquoted.as_deref().unwrap_or(&text.text));
    let mut first_tag = None;
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(sign) = text.text.as_bytes()[at..].iter().position(is_sign) {
        at += sign;
        let byte = text.text.as_bytes()[at];
        let in_quotes = text.exempts(at);
        let template = || code::template(&text.text, at);
        let (found, next) = match byte {
            b'<' if in_quotes => (template(), at + 1),
            b'<' => {
                let begins = tags::begins(&text.text, at);
                let ends_at_blank_line = format == Format::Markdown && first_tag.is_none();
                first_tag = first_tag.or(begins.then_some(at));
                let tag = || text.either(|text| tags::tag(text, at, ends_at_blank_line));
                (template().or_else(tag).or_else(|| links::pointed(&text.text, at)), at + 1)
            }
            _ if in_quotes => (None, at + 1),
            b'!' => (text.either(|text| links::image(text, at, &definitions)), at + 1),
            b']' => (text.either(|text| links::destination(text, at)), at + 1),
            b':' => (links::bare(&text.text, at), at + 1),
            b'`' | b'~' => code::run(&text.text, at),
            b'\\' => (code::style(&text.text, at), at + 1),
            b'"' if format == Format::Canvas => (links::canvas_page(&text.text, at), at + 1),
            _ => (None, at + 1),
        };
        at = found.as_ref().map_or(next, |piece| piece.end.max(next));
        pieces.extend(found);
        if pieces.len() > FINDINGS_MAX {
            break;
        }
    }
    pieces
}

fn finding(text: &str, line: usize, piece: &Piece) -> Finding {
    let snippet = texts::visible(&text[piece.start..piece.end]);
    let parts = [cbor::uint(piece.kind.number()), cbor::text(&snippet), cbor::text(&piece.with)];
    let mut begins: String = snippet.chars().take(BEGINNING_CHARS).collect();
    if begins.len() < snippet.len() {
        begins.push('\u{2026}');
    }
    let release = ConflictId(Hash::labelled("aiemp-node 2026 active content", parts));
    Finding { kind: piece.kind, line, begins: begins.replace(['\n', '\r'], " "), release }
}

/// The first place within `limit` bytes of `from` that is a character's beginning.
fn within(text: &str, from: usize, limit: usize) -> usize {
    text.floor_char_boundary(text.len().min(from + limit))
}
