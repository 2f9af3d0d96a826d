//! HTML: tags whose attributes load, run or send something.

use super::{ActiveKind, Piece, links, within};

/// A tag that goes on longer than this is taken for one that acts.
const TAG_BYTES_MAX: usize = 2048;
/// Tags that act without an attribute; what stands in them is theirs.
const ALWAYS: [&str; 2] = ["script", "style"];
/// Tags within which Markdown does not end a block at a blank line.
const RAW: [&str; 2] = ["pre", "textarea"];
/// Tags that load whatever their address is, pages of the vault among it.
const PAGES: [&str; 9] = ["iframe", "frame", "object", "embed", "link", "base", "portal", "applet", "script"];
/// Attributes that act whatever they say.
const ACTS: [&str; 4] = ["srcdoc", "http-equiv", "ping", "classid"];
/// Attributes that name what is loaded or sent to.
const LOADS: [&str; 18] = [
    "src",
    "srcset",
    "imagesrcset",
    "data",
    "poster",
    "background",
    "action",
    "formaction",
    "href",
    "xlink:href",
    "lowsrc",
    "dynsrc",
    "codebase",
    "archive",
    "manifest",
    "from",
    "to",
    "values",
];

/// The tag that begins at `at`, if it acts. In `markdown` a blank line ends what is none.
pub(super) fn tag(text: &str, at: usize, markdown: bool) -> Option<Piece> {
    let window_end = within(text, at + 1, TAG_BYTES_MAX);
    let inside = &text[at + 1..window_end];
    let lower = |length: usize| inside[..length].to_ascii_lowercase();
    if inside.starts_with("?xml-stylesheet") || inside.get(..7).is_some_and(|it| it.eq_ignore_ascii_case("!entity")) {
        return Some(Piece::new(ActiveKind::Html, at, at + 1 + end_of_tag(inside)));
    }
    if !inside.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    let name_length = inside.find(|c: char| c.is_whitespace() || "/>".contains(c))?;
    let name = lower(name_length);
    let paragraph = if markdown && !RAW.contains(&name.as_str()) { links::blank_line(inside) } else { None };
    let inside = &inside[..paragraph.unwrap_or(inside.len())];
    let length = end_of_tag(inside);
    let end = at + 1 + length;
    if end == window_end && window_end < text.len() && !inside.ends_with('>') {
        let end = text[end..].find('>').map_or(text.len(), |length| end + length + 1);
        return Some(Piece::new(ActiveKind::Html, at, end));
    }
    if ALWAYS.contains(&name.as_str()) {
        return Some(Piece::new(ActiveKind::Html, at, end_of_element(text, end, &name)));
    }
    let attributes = &inside[name_length.min(length)..length];
    is_active(&name, attributes).then(|| Piece::new(ActiveKind::Html, at, end))
}

/// Behind its `>`, or before the next tag where it is not closed: `>` and `<` in quotes do not count.
fn end_of_tag(inside: &str) -> usize {
    let mut quote = None;
    let mut before = b' ';
    for (at, byte) in inside.bytes().enumerate() {
        match (quote, byte) {
            (Some(open), byte) if open == byte => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') if matches!(before, b'=' | b' ' | b'\t' | b'\n' | b'\r') => quote = Some(byte),
            (None, b'>') => return at + 1,
            (None, b'<') => return at,
            (None, _) => {}
        }
        before = byte;
    }
    inside.len()
}

fn end_of_element(text: &str, from: usize, name: &str) -> usize {
    let closing = |place: &usize| {
        let rest = &text.as_bytes()[place + 2..];
        rest.len() >= name.len() && rest[..name.len()].eq_ignore_ascii_case(name.as_bytes())
    };
    let mut places = text[from..].match_indices("</").map(|(place, _)| from + place);
    places.find(closing).map_or(text.len(), |place| place + 2 + name.len())
}

fn is_active(name: &str, attributes: &str) -> bool {
    let mut rest = attributes;
    while let Some((attribute, value, after)) = next_attribute(rest) {
        rest = after;
        let attribute = attribute.to_ascii_lowercase();
        let handles = attribute.len() > 3 && attribute.starts_with("on");
        if handles || ACTS.contains(&attribute.as_str()) || links::acts(value) || has_style_address(value) {
            return true;
        }
        let follows = attribute == "href" && matches!(name, "a" | "area");
        let is_page = PAGES.contains(&name) && !value.is_empty();
        if LOADS.contains(&attribute.as_str()) && !follows && (is_page || loads_remote(&attribute, value)) {
            return true;
        }
    }
    false
}

/// `srcset` lists addresses, and so do the values of an animation.
fn loads_remote(attribute: &str, value: &str) -> bool {
    let is_list = matches!(attribute, "srcset" | "imagesrcset" | "values");
    links::is_remote(value) || (is_list && value.split([',', ';', ' ']).any(links::is_remote))
}

fn has_style_address(value: &str) -> bool {
    let value: String = value.to_lowercase().split_whitespace().collect();
    ["url(", "image-set(", "expression(", "@import"].iter().any(|sign| value.contains(sign))
}

/// The first attribute, its value without quotes, and what comes after.
fn next_attribute(text: &str) -> Option<(&str, &str, &str)> {
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || c == '/');
    let first = text.chars().next()?;
    let name_length = text[first.len_utf8()..].find(|c: char| c.is_whitespace() || "/>=".contains(c));
    let name_length = name_length.map_or(text.len(), |length| first.len_utf8() + length);
    let (name, rest) = text.split_at(name_length);
    let Some(value) = rest.trim_start().strip_prefix('=') else { return Some((name, "", rest)) };
    let value = value.trim_start();
    for quote in ['"', '\''] {
        if let Some(quoted) = value.strip_prefix(quote) {
            let length = quoted.find(quote).unwrap_or(quoted.len());
            return Some((name, &quoted[..length], quoted.get(length + 1..).unwrap_or_default()));
        }
    }
    let length = value.find(|c: char| c.is_whitespace() || c == '>').unwrap_or(value.len());
    Some((name, &value[..length], &value[length..]))
}
