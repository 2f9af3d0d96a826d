//! Active content: what makes a viewer of notes load, run or open something that nobody asked for.
//!
//! Obsidian and its plugins, and browsers, are what notes are looked at with. What is found here comes from a Cloud that
//! may be anybody's: it waits on Local until the person has released it. The finder rather finds too much: code blocks and
//! backslashes protect nothing, for plugins and other viewers read the raw text. A text is looked at without what cannot be
//! seen in it, and addresses also with entities, percent signs and backslashes taken off.

use std::collections::BTreeMap;

use aiemp_keys::{Hash, cbor};

use crate::{egress::views, ids::ConflictId, vault_path::VaultPath};

mod code;
mod links;
mod quoted;
mod tags;
#[cfg(test)]
mod tests;

/// Files that a viewer of the vault or a browser renders; others are shown as they are, or not at all.
const RENDERED: [&str; 14] =
    ["md", "markdown", "mdx", "canvas", "base", "html", "htm", "xhtml", "xht", "shtml", "mhtml", "mht", "svg", "xml"];
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
    let extension = path.extension();
    if !RENDERED.contains(&extension.as_str()) || !may_hold_any(bytes) {
        return Vec::new();
    }
    let text = view(bytes, extension == "canvas");
    let pieces = pieces(&text, &extension);
    if pieces.len() > FINDINGS_MAX {
        return vec![finding(&text, 1, &Piece::new(ActiveKind::Many, 0, text.len()))];
    }
    let (mut line, mut counted) = (1, 0);
    let mut first: BTreeMap<ConflictId, usize> = BTreeMap::new();
    let mut findings = Vec::new();
    for piece in &pieces {
        line += text.as_bytes()[counted..piece.start].iter().filter(|byte| **byte == b'\n').count();
        counted = piece.start;
        let found = finding(&text, line, piece);
        if first.insert(found.release, line).is_none() {
            findings.push(found);
        }
    }
    findings
}

/// Plain prose has none of the signs that everything active begins with.
fn may_hold_any(bytes: &[u8]) -> bool {
    bytes.iter().any(is_sign)
}

const fn is_sign(byte: &u8) -> bool {
    matches!(byte, b'<' | b'!' | b']' | b'`' | b'~' | b':' | b'"')
}

/// The text without what cannot be seen; of a canvas, which is JSON, without its escapes.
fn view(bytes: &[u8], is_json: bool) -> String {
    let unescaped = if is_json { views::unescaped(bytes) } else { None };
    let text = String::from_utf8_lossy(unescaped.as_deref().unwrap_or(bytes));
    let hidden = |c: char| match c {
        ' '..='~' | '\n' | '\r' | '\t' => false,
        _ => c.is_control() || views::is_invisible(c),
    };
    if text.chars().any(hidden) { text.replace(hidden, "") } else { text.into_owned() }
}

fn pieces(text: &str, extension: &str) -> Vec<Piece> {
    let is_canvas = extension == "canvas";
    let is_markdown = matches!(extension, "md" | "markdown" | "mdx");
    let exempt = quoted::front_matter(text);
    let definitions = links::definitions(text);
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(sign) = text.as_bytes()[at..].iter().position(is_sign) {
        at += sign;
        let byte = text.as_bytes()[at];
        let in_quotes = exempt.iter().any(|range| range.contains(&at));
        let (found, next) = match byte {
            b'<' if in_quotes => (code::template(text, at), at + 1),
            b'<' => (code::template(text, at).or_else(|| tags::tag(text, at, is_markdown)), at + 1),
            _ if in_quotes => (None, at + 1),
            b'!' => (links::image(text, at, &definitions), at + 1),
            b']' => (links::destination(text, at), at + 1),
            b':' => (links::bare(text, at), at + 1),
            b'`' | b'~' => code::run(text, at),
            b'"' if is_canvas => (links::canvas_page(text, at), at + 1),
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
    let snippet = &text[piece.start..piece.end];
    let parts = [cbor::uint(piece.kind.number()), cbor::text(snippet), cbor::text(&piece.with)];
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
