//! Code that plugins run: fences and inline queries, and the commands of Templater.

use super::{ActiveKind, Piece, links, within};
use crate::egress::views;

/// The words behind a fence that make Obsidian or a plugin run what stands in it, or fetch what it names.
const RUN: [&str; 16] = [
    "dataview",
    "dataviewjs",
    "base",
    "tasks",
    "js-engine",
    "meta-bind",
    "meta-bind-button",
    "meta-bind-embed",
    "meta-bind-js-view",
    "button",
    "templater",
    "embed",
    "cardlink",
    "leaflet",
    "plantuml",
    "compressed-json",
];
/// Commands of mathematics that style what they set, or make up the name of a command.
const STYLES: [&str; 4] = ["style", "mmlToken", "bbox", "csname"];
/// What makes a drawing load something, or change how it is drawn.
const DRAWING: [&str; 6] = ["//", "url(", "img", "%%{", "click", "themecss"];
/// A drawing that goes on longer is taken for one that loads something.
const DRAWING_BYTES_MAX: usize = 16 << 10;
/// As much of what stands behind a fence as may be its word.
const INFO_BYTES_MAX: usize = 256;
/// An inline query that goes on longer is taken for one without looking for its end.
const INLINE_BYTES_MAX: usize = 4096;

/// `<% … %>`, wherever it stands.
pub(super) fn template(text: &str, at: usize) -> Option<Piece> {
    let inside = text[at..].strip_prefix("<%")?;
    let end = inside.find("%>").map_or(text.len(), |end| at + 2 + end + 2);
    Some(Piece::new(ActiveKind::Template, at, end))
}

/// `\style{…}{…}`: a style fetches the pictures that it names.
pub(super) fn style(text: &str, at: usize) -> Option<Piece> {
    let command = &text[at + 1..];
    let name = STYLES.iter().find(|name| command.starts_with(**name))?;
    let is_longer = command[name.len()..].starts_with(|c: char| c.is_ascii_alphabetic());
    let end = links::paragraph_end_behind(text, at);
    (!is_longer).then(|| Piece::new(ActiveKind::Html, at, end))
}

/// A run of backticks or tildes: a fence, an inline query, or nothing; and where the run ends.
pub(super) fn run(text: &str, at: usize) -> (Option<Piece>, usize) {
    let sign = text.as_bytes()[at];
    let length = text.as_bytes()[at..].iter().take_while(|byte| **byte == sign).count();
    let end = at + length;
    let found = if length >= 3 { fence(text, at, sign, length) } else { None };
    let found = found.or_else(|| if sign == b'`' { inline(text, at, length) } else { None });
    (found, end)
}

fn fence(text: &str, at: usize, sign: u8, length: usize) -> Option<Piece> {
    let behind = text[at + length..].trim_start_matches([' ', '\t', '{', '.']);
    let info = behind[..within(behind, 0, INFO_BYTES_MAX)].lines().next().unwrap_or_default();
    // A viewer may know more that a fence can stand behind; but where one is closed on its line it is none.
    let is_before = |c: char| c.is_whitespace() || c.is_ascii_digit() || ">-*+.)".contains(c);
    let mut before = text[..at].chars().rev().take_while(|c| *c != '\n');
    if info.contains('`') && !before.all(is_before) {
        return None;
    }
    let read = views::unescaped(info.as_bytes());
    let info = read.map_or_else(|| info.to_owned(), |read| String::from_utf8_lossy(&read).into_owned());
    let word = info.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').next().unwrap_or_default();
    let is_drawing = word.eq_ignore_ascii_case("mermaid");
    if !is_drawing && !RUN.iter().any(|run| word.eq_ignore_ascii_case(run)) {
        return None;
    }
    let mut end = at;
    for (number, line) in text[at..].split_inclusive('\n').enumerate() {
        end += line.len();
        let bare = line.trim_start_matches([' ', '\t', '>']).trim_end();
        if number > 0 && bare.len() >= length && bare.bytes().all(|byte| byte == sign) {
            break;
        }
        if is_drawing && end - at > DRAWING_BYTES_MAX {
            return Some(Piece::new(ActiveKind::Code, at, text.len()));
        }
    }
    let drawn = if is_drawing { text[at..end].to_ascii_lowercase() } else { String::new() };
    let is_active = !is_drawing || DRAWING.iter().any(|sign| drawn.contains(sign));
    is_active.then(|| Piece::new(ActiveKind::Code, at, end))
}

/// `` `= …` `` and `` `$= …` ``.
fn inline(text: &str, at: usize, length: usize) -> Option<Piece> {
    let start = at + length;
    let window_end = within(text, start, INLINE_BYTES_MAX);
    let inside = &text[start..window_end];
    let paragraph_end = links::blank_line(inside);
    let inside = &inside[..paragraph_end.unwrap_or(inside.len())];
    let query = inside.trim_start();
    match query.strip_prefix("$=") {
        // A script may begin with any of these; only where it ends at once it is none.
        Some(script) => {
            let ticks = script.bytes().take_while(|byte| *byte == b'`').count();
            if ticks == length {
                return None;
            }
        }
        // Comparisons and arrows are what people write about.
        None if query.strip_prefix('=')?.starts_with(['=', '>', '<', '~', '`']) => return None,
        None => {}
    }
    let mut from = 0;
    while let Some(close) = inside[from..].find('`').map(|close| from + close) {
        let run = inside.as_bytes()[close..].iter().take_while(|byte| **byte == b'`').count();
        if run == length {
            return Some(Piece::new(ActiveKind::Code, at, start + close + run));
        }
        from = close + run;
    }
    let goes_on = paragraph_end.is_none() && window_end < text.len();
    goes_on.then(|| Piece::new(ActiveKind::Code, at, links::paragraph_end_behind(text, window_end)))
}
