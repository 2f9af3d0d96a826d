//! HTML: tags whose attributes load, run or send something.

use super::{ActiveKind, Piece, links, within};
use crate::egress::views;

/// A tag that goes on longer than this is taken for one that acts.
const TAG_BYTES_MAX: usize = 2048;
/// Tags that act without an attribute; what stands in them is theirs.
const ALWAYS: [&str; 2] = ["script", "style"];
/// Tags that load whatever their address is, pages of the vault among it.
const PAGES: [&str; 11] =
    ["iframe", "frame", "object", "embed", "link", "base", "portal", "applet", "script", "webview", "fencedframe"];
/// Attributes that act whatever they say.
const ACTS: [&str; 4] = ["srcdoc", "http-equiv", "ping", "classid"];
/// Attributes that name what is loaded or sent to; those of XML with whatever prefix.
const LOADS: [&str; 20] = [
    "src",
    "srcset",
    "imagesrcset",
    "data",
    "poster",
    "background",
    "action",
    "formaction",
    "href",
    "lowsrc",
    "dynsrc",
    "codebase",
    "archive",
    "manifest",
    "from",
    "to",
    "by",
    "values",
    "base",
    "attributionsrc",
];

/// What a browser reads as the beginning of something that is no text.
pub(super) fn begins(text: &str, at: usize) -> bool {
    text[at + 1..].starts_with(|c: char| c.is_ascii_alphabetic() || c == '!' || c == '?')
}

/// The tag that begins at `at`, if it acts; read as browsers do, to its `>`, whatever lines and signs stand in it: a
/// block of raw HTML may hold all of them. Only how long it may be depends on `ends_at_blank_line`: a `<` in prose has
/// no end at all.
pub(super) fn tag(text: &str, at: usize, ends_at_blank_line: bool) -> Option<Piece> {
    let window_end = within(text, at + 1, TAG_BYTES_MAX);
    let inside = &text[at + 1..window_end];
    let piece = |end: usize| Some(Piece::new(ActiveKind::Html, at, end));
    if inside.starts_with(['!', '?']) {
        return is_active_declaration(inside).then(|| piece(end_behind(text, at + 1)))?;
    }
    if !inside.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    let name_length = inside.find(|c: char| is_space(c) || "/>".contains(c)).unwrap_or(inside.len());
    let name = local_name(&inside[..name_length]);
    let read = attributes(&name, &inside[name_length..]);
    let end = at + 1 + name_length + read.length;
    let is_cut = !read.is_closed && window_end < text.len();
    let is_prose = ends_at_blank_line && links::blank_line(inside).is_some();
    match (is_cut, ALWAYS.contains(&name.as_str())) {
        (true, _) if read.acts || !is_prose => piece(end_behind(text, window_end)),
        (_, true) => piece(end_of_element(text, end, &name)),
        (_, false) => read.acts.then(|| piece(end))?,
    }
}

/// Declarations and instructions of XML that name what is loaded, put text into a document, or say that its bytes are
/// other letters.
fn is_active_declaration(inside: &str) -> bool {
    let line = inside[..inside.find('>').unwrap_or(inside.len())].to_ascii_lowercase();
    let is_utf8 = |behind: &str| {
        let value = behind.trim_start().strip_prefix('=').map(str::trim_start).unwrap_or_default();
        value.starts_with("\"utf-8\"") || value.starts_with("'utf-8'")
    };
    line.starts_with("?xml-stylesheet")
        || line.starts_with("!entity")
        || line.starts_with("!attlist")
        || (line.starts_with("?xml") && !line.split("encoding").skip(1).all(is_utf8))
}

/// In small letters, without a prefix: XML lets each document choose its own.
fn local_name(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    name.rsplit_once(':').map_or(name.clone(), |(_, local)| local.to_owned())
}

fn end_behind(text: &str, from: usize) -> usize {
    text[from..].find('>').map_or(text.len(), |length| from + length + 1)
}

fn end_of_element(text: &str, from: usize, name: &str) -> usize {
    let closing = |place: &usize| {
        let rest = &text.as_bytes()[place + 2..];
        rest.len() >= name.len() && rest[..name.len()].eq_ignore_ascii_case(name.as_bytes())
    };
    let mut places = text[from..].match_indices("</").map(|(place, _)| from + place);
    places.find(closing).map_or(text.len(), |place| place + 2 + name.len())
}

/// The attributes of a tag as they were read.
struct Read {
    acts: bool,
    /// Up to behind its `>`, or as far as the text goes.
    length: usize,
    is_closed: bool,
}

fn attributes(name: &str, text: &str) -> Read {
    let mut acts = false;
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| is_space(c) || c == '/');
        let is_closed = rest.starts_with('>');
        let Some((attribute, value, after)) = next_attribute(rest).filter(|_| !is_closed) else {
            return Read { acts, length: text.len() - rest.len() + usize::from(is_closed), is_closed };
        };
        acts = acts || is_active(name, &local_name(attribute), value);
        rest = after;
    }
}

fn is_active(name: &str, attribute: &str, value: &str) -> bool {
    let handles = attribute.len() > 3 && attribute.starts_with("on") && !value.is_empty();
    let is_other_text = attribute == "charset" && !value.trim().eq_ignore_ascii_case("utf-8");
    if handles || is_other_text || ACTS.contains(&attribute) || links::acts(value) || has_style_address(value) {
        return true;
    }
    // What a renderer writes for the next paragraph would go on in the value.
    if (attribute == "style" && value.contains('\\')) || links::blank_line(value).is_some() {
        return true;
    }
    if attribute == "href" && matches!(name, "a" | "area") {
        return links::has_odd_scheme(value);
    }
    let is_page = PAGES.contains(&name) && !value.is_empty();
    LOADS.contains(&attribute) && (is_page || loads_remote(attribute, value))
}

/// `srcset` lists addresses, and so do the values of an animation.
fn loads_remote(attribute: &str, value: &str) -> bool {
    let is_list = matches!(attribute, "srcset" | "imagesrcset" | "values");
    links::is_remote(value) || (is_list && value.split([',', ';', ' ']).any(links::is_remote))
}

/// Whether a value is a style that loads something. Its escapes may hide that, and entities hide escapes.
fn has_style_address(value: &str) -> bool {
    if !value.contains(['(', '@', '&']) {
        return false;
    }
    let unescaped = views::unescaped(value.as_bytes()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    [Some(value.to_owned()), unescaped].into_iter().flatten().any(|value| {
        let value: String = value.to_lowercase().split_whitespace().collect();
        let signs = ["url(", "image(", "image-set(", "src(", "expression(", "@import"];
        signs.iter().any(|sign| value.contains(sign)) || (value.contains('\\') && value.contains('('))
    })
}

/// The first attribute, its value without quotes, and what comes after, as browsers read them: a `<` is part of a name or
/// value, and so is a quote that does not begin a value.
fn next_attribute(text: &str) -> Option<(&str, &str, &str)> {
    let first = text.chars().next()?;
    let name_length = text[first.len_utf8()..].find(|c: char| is_space(c) || "/>=".contains(c));
    let name_length = name_length.map_or(text.len(), |length| first.len_utf8() + length);
    let (name, rest) = text.split_at(name_length);
    let Some(value) = rest.trim_start_matches(is_space).strip_prefix('=') else { return Some((name, "", rest)) };
    let value = value.trim_start_matches(is_space);
    for quote in ['"', '\''] {
        if let Some(quoted) = value.strip_prefix(quote) {
            let length = quoted.find(quote).unwrap_or(quoted.len());
            return Some((name, &quoted[..length], quoted.get(length + 1..).unwrap_or_default()));
        }
    }
    let length = value.find(|c: char| is_space(c) || c == '>').unwrap_or(value.len());
    Some((name, &value[..length], &value[length..]))
}

/// What parts words in HTML; other spaces are letters there.
const fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}
