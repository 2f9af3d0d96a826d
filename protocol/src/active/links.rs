//! Pictures from elsewhere, and addresses that act.

use super::{ActiveKind, Piece, definitions::Definitions, within};
use crate::egress::views;

/// Schemes that a program acts on. Web and mail addresses only open when they are followed.
const ACTING: [&str; 5] = ["obsidian", "javascript", "vbscript", "file", "data"];
/// Schemes that open a page, a mail or a call; what any other does is up to programs that nobody knows of.
const OPENING: [&str; 8] = ["http", "https", "mailto", "tel", "sms", "geo", "ftp", "ftps"];
/// What `data:` must hold to act.
const ACTING_DATA: [&str; 5] = ["text/html", "application/xhtml", "text/xml", "application/xml", "image/svg"];
/// Pictures that stand in the text itself.
const PICTURES: [&str; 6] = ["image/png", "image/jpeg", "image/jpg", "image/gif", "image/webp", "image/bmp"];
/// A picture's text; one that goes on longer is taken for one from elsewhere.
pub(super) const ALT_BYTES_MAX: usize = 1024;
/// An address, as far as it is told.
const ADDRESS_BYTES_MAX: usize = 512;
/// As much of an address as says where it leads; one that says nothing in so many bytes hides where.
const SCHEME_BYTES_MAX: usize = 256;
const SAID_BYTES_MIN: usize = 16;

/// The beginning of an address as it may be read: with and without its escapes, in small letters, without white space;
/// none where it hides that.
fn readings(address: &str) -> Option<[String; 2]> {
    let all = address.trim_start();
    let address = &all[..within(all, 0, SCHEME_BYTES_MAX)];
    let read = [tidy(address), tidy(&without_percent_signs(&unescaped(address)))];
    let hides = address.len() < all.len() && read.iter().any(|text| text.len() < SAID_BYTES_MIN);
    (!hides).then_some(read)
}

fn tidy(text: &str) -> String {
    text.replace(|c: char| c.is_whitespace() || c.is_control() || views::is_invisible(c), "").to_lowercase()
}

fn unescaped(text: &str) -> String {
    let unescaped = views::unescaped(text.as_bytes());
    unescaped.map_or_else(|| text.to_owned(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn without_percent_signs(text: &str) -> String {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let pair = after.get(..2).filter(|_| *first == b'%').and_then(|pair| std::str::from_utf8(pair).ok());
        match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) => {
                plain.push(byte);
                rest = &after[2..];
            }
            None => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// Whether showing what lies at an address asks another machine or program for it.
pub(super) fn is_remote(address: &str) -> bool {
    let Some(readings) = readings(address) else { return true };
    readings.iter().any(|address| {
        let address = address.trim_start_matches(|c: char| !c.is_ascii_alphanumeric() && !"/\\".contains(c));
        let slashed = address.replace('\\', "/");
        let scheme = slashed.find(':').map(|colon| &slashed[..colon]).filter(|scheme| is_scheme(scheme));
        let is_picture = || PICTURES.iter().any(|picture| slashed[5..].starts_with(picture));
        match scheme {
            Some("data") => !is_picture(),
            Some(_) => true,
            None => slashed.contains("//"),
        }
    })
}

/// Letters of a drive are no scheme.
fn is_scheme(text: &str) -> bool {
    text.len() > 1
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "+.-".contains(c))
}

/// Whether following an address does more than open a page.
pub(super) fn acts(address: &str) -> bool {
    if !address.contains([':', '&', '%', '\\']) {
        return false;
    }
    let Some(readings) = readings(address) else { return true };
    readings.iter().any(|address| {
        let Some((scheme, rest)) = address.split_once(':') else { return false };
        let scheme = scheme.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        ACTING.contains(&scheme)
            && match scheme {
                "data" => ACTING_DATA.iter().any(|kind| rest.starts_with(kind)),
                "file" => rest.starts_with(['/', '\\']),
                _ => !rest.is_empty(),
            }
    })
}

/// Whether an address is one for a program that is not known: no scheme that opens a page, and a scheme.
pub(super) fn has_odd_scheme(address: &str) -> bool {
    let beginning = &address[..within(address, 0, SCHEME_BYTES_MAX)];
    if !beginning.contains([':', '&']) {
        return false;
    }
    [tidy(beginning), tidy(&unescaped(beginning))].iter().any(|address| {
        let address = address.trim_start_matches('<');
        let scheme = address.split_once(':').filter(|(scheme, rest)| is_scheme(scheme) && !rest.is_empty());
        scheme.is_some_and(|(scheme, rest)| {
            let is_picture = scheme == "data" && PICTURES.iter().any(|picture| rest.starts_with(picture));
            !OPENING.contains(&scheme) && !is_picture
        })
    })
}

/// `](address)` and `[label]: address` where the address acts, however it is written.
pub(super) fn destination(text: &str, at: usize) -> Option<Piece> {
    if is_escaped(text, at) {
        return None;
    }
    let (start, end) = address_behind(text, at + 1)?;
    let address = &text[start..end];
    (acts(address) || has_odd_scheme(address)).then(|| Piece::new(ActiveKind::Link, at, end_of_address(text, end)))
}

/// `<scheme:address>` where the scheme is an odd one; what is all letters is a tag of XML.
pub(super) fn pointed(text: &str, at: usize) -> Option<Piece> {
    let inside = &text[at + 1..within(text, at + 1, ADDRESS_BYTES_MAX)];
    let address = &inside[..inside.find(|c: char| c.is_whitespace() || "<>".contains(c))?];
    let (_, rest) = address.split_once(':')?;
    let is_name = rest.trim_end_matches('/').bytes().all(|byte| byte.is_ascii_alphanumeric());
    (!is_name && has_odd_scheme(address)).then(|| Piece::new(ActiveKind::Link, at, at + 1 + address.len()))
}

/// An acting address in the middle of a text; `at` is its colon.
pub(super) fn bare(text: &str, at: usize) -> Option<Piece> {
    let before = &text.as_bytes()[..at];
    let length = before.iter().rev().take(12).take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let start = at - length;
    let scheme = text[start..at].to_ascii_lowercase();
    if !ACTING.contains(&scheme.as_str()) {
        return None;
    }
    let rest = &text[at + 1..within(text, at + 1, ADDRESS_BYTES_MAX)];
    let next = rest.chars().next()?;
    let is_address = match scheme.as_str() {
        "data" => ACTING_DATA.iter().any(|kind| rest.get(..kind.len()).is_some_and(|it| it.eq_ignore_ascii_case(kind))),
        "file" => matches!(next, '/' | '\\'),
        "obsidian" => next.is_ascii_alphanumeric() || "/\\%".contains(next),
        _ => !next.is_whitespace() && !"*\"'`,;".contains(next),
    };
    is_address.then(|| Piece::new(ActiveKind::Link, start, end_of_address(text, at + 1)))
}

/// `![text](address)`, `![text][label]`, `![label]` and `![[address]]` from elsewhere.
pub(super) fn image(text: &str, at: usize, definitions: &Definitions) -> Option<Piece> {
    let inside = text[at..].strip_prefix("![")?;
    let start = at + 2;
    if let Some(embedded) = inside.strip_prefix('[')
        && let Some(length) = embedded.find([']', '\n'])
        && is_remote(&embedded[..length])
    {
        let closed = if embedded[length..].starts_with("]]") { 2 } else { 0 };
        return Some(Piece::new(ActiveKind::Remote, at, start + 1 + length + closed));
    }
    let window_end = within(text, start, ALT_BYTES_MAX);
    let window = &text[start..window_end];
    let closed = closing_bracket(window);
    let paragraph_end = blank_line(&window[..closed.unwrap_or(window.len())]);
    let window = &window[..paragraph_end.unwrap_or(window.len())];
    let closed = closed.filter(|_| paragraph_end.is_none());
    let remote_behind = |bracket: usize| {
        let (from, to) = address_behind(text, bracket + 1)?;
        (text.as_bytes()[bracket + 1] == b'(' && is_remote(&text[from..to])).then(|| {
            let to = end_of_address(text, to);
            let end = to + usize::from(text[to..].starts_with([')', '>']));
            Piece::new(ActiveKind::Remote, at, end)
        })
    };
    // Code, HTML, mathematics and comments may hold brackets that do not count; then every address that follows may be
    // the picture's.
    let (before, behind) = window.split_at(closed.unwrap_or(window.len()));
    let spans = |sign: &str| before.contains(sign) && behind.contains(sign);
    if before.contains(['`', '<', '\\']) || spans("$") || spans("%%") {
        let brackets = window.match_indices("](").map(|(place, _)| start + place);
        if let Some(piece) = brackets.into_iter().find_map(remote_behind) {
            return Some(piece);
        }
    }
    let Some(close) = closed.map(|close| start + close) else {
        let goes_on = paragraph_end.is_none() && window_end < text.len();
        return goes_on.then(|| Piece::new(ActiveKind::Remote, at, paragraph_end_behind(text, window_end)));
    };
    if let Some(piece) = remote_behind(close) {
        return Some(piece);
    }
    let own = &text[start..close];
    let labelled = text[close + 1..].strip_prefix('[').and_then(|label| Some(&label[..label.find(']')?]));
    let label = labelled.filter(|label| !label.is_empty()).unwrap_or(own);
    let end = close + 1 + labelled.map_or(0, |label| label.len() + 2);
    let with = definitions.remote(label).or_else(|| definitions.remote(own))?;
    Some(Piece { with, ..Piece::new(ActiveKind::Remote, at, end) })
}

/// Where an address ends that goes on at `from`: a release speaks of all of it.
fn end_of_address(text: &str, from: usize) -> usize {
    let ends = |byte: u8| byte.is_ascii_whitespace() || b")<>\"`".contains(&byte);
    text.as_bytes()[from..].iter().position(|byte| ends(*byte)).map_or(text.len(), |length| from + length)
}

/// Where the paragraph ends that goes on at `from`.
pub(super) fn paragraph_end_behind(text: &str, from: usize) -> usize {
    text[from..].find("\n\n").map_or(text.len(), |length| from + length)
}

/// Where a paragraph ends: only white space stands on its next line.
pub(super) fn blank_line(text: &str) -> Option<usize> {
    let mut ends = text.match_indices('\n').map(|(at, _)| at);
    ends.find(|at| {
        let rest = text[at + 1..].trim_start_matches([' ', '\t', '\r']);
        rest.starts_with('\n')
    })
}

/// The bracket that closes the one before the text.
fn closing_bracket(text: &str) -> Option<usize> {
    let mut depth = 0;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'[' => depth += 1,
            b']' if depth == 0 => return Some(at),
            b']' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// A bracket behind a backslash is a sign like any other.
pub(super) fn is_escaped(text: &str, at: usize) -> bool {
    text.as_bytes()[..at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// Where the address stands that `(` or `:` at `at` begins.
pub(super) fn address_behind(text: &str, at: usize) -> Option<(usize, usize)> {
    let address = text[at..].strip_prefix(['(', ':'])?.trim_start();
    let start = text.len() - address.len();
    let address = &address[..within(address, 0, ADDRESS_BYTES_MAX)];
    let length = match address.strip_prefix('<') {
        Some(pointed) => 1 + pointed.find(['>', '\n']).unwrap_or(pointed.len()),
        None => {
            let ends = |byte: u8| byte.is_ascii_whitespace() || byte == b')';
            address.bytes().position(ends).unwrap_or(address.len())
        }
    };
    Some((start, start + length))
}

/// The page that a node of a canvas shows, `"url": "https://…"`, or the picture behind it.
pub(super) fn canvas_page(text: &str, at: usize) -> Option<Piece> {
    let behind = ["\"url\"", "\"background\""].iter().find_map(|key| text[at..].strip_prefix(key))?;
    let behind = behind.trim_start().strip_prefix(':')?.trim_start();
    let address = behind.strip_prefix('"')?;
    let address = &address[..address.find('"').unwrap_or(address.len())];
    let end = (text.len() - behind.len() + 1 + address.len() + 1).min(text.len());
    is_remote(address).then(|| Piece::new(ActiveKind::Remote, at, end))
}
