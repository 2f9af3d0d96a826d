//! The texts in which a viewer may read the bytes of a file.

use std::{borrow::Cow, ops::Range};

use super::quoted;
use crate::egress::views;

/// How the bytes of a file become what is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Markdown,
    /// JSON, in which texts are Markdown.
    Canvas,
    /// HTML, SVG and other XML.
    Html,
    /// What cannot be read by pieces: archives of pages hold them encoded, and the rest is a program to what shows it.
    Whole,
}

impl Format {
    /// None for files that no viewer of the vault and no browser renders. What a file is that has no name known to them
    /// they tell by how it begins.
    pub(super) fn of(extension: &str, bytes: &[u8]) -> Option<Self> {
        match extension {
            "md" | "markdown" | "mdx" => Some(Self::Markdown),
            "canvas" => Some(Self::Canvas),
            "html" | "htm" | "xhtml" | "xht" | "shtml" | "shtm" | "ehtml" | "svg" | "xml" | "xsl" | "xslt" | "rdf" => {
                Some(Self::Html)
            }
            "mhtml" | "mht" | "svgz" | "hta" | "base" | "url" | "webloc" | "desktop" | "lnk" | "scf" => {
                Some(Self::Whole)
            }
            "txt" | "text" | "log" | "json" | "jsonl" | "eml" | "csv" | "tsv" | "yaml" | "yml" | "toml" => None,
            _ => {
                let beginning = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
                beginning.starts_with(b"<").then_some(Self::Html)
            }
        }
    }
}

/// Whether a browser may take the bytes for another text than UTF-8 says: it guesses where no encoding is named.
pub(super) fn may_be_read_otherwise(bytes: &[u8]) -> bool {
    let is_odd = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{c}');
    std::str::from_utf8(bytes).map_or(true, |text| text.contains(is_odd))
}

/// One text in which a file may be read.
pub(super) struct Text {
    pub(super) text: String,
    /// The same with spaces for the `>` of quoted lines, in the middle of which a tag or an address goes on.
    pub(super) unquoted: Option<String>,
    /// Where front matter quotes values.
    exempt: Vec<Range<usize>>,
}

impl Text {
    fn new(text: String, exempt: Vec<Range<usize>>, format: Format) -> Self {
        let unquoted = if format == Format::Html { None } else { unquoted(&text) };
        Self { text, unquoted, exempt }
    }

    pub(super) fn exempts(&self, at: usize) -> bool {
        let next = self.exempt.partition_point(|range| range.end <= at);
        self.exempt.get(next).is_some_and(|range| range.contains(&at))
    }

    /// What is found in the text, or else without the signs of quoted lines.
    pub(super) fn either<T>(&self, find: impl Fn(&str) -> Option<T>) -> Option<T> {
        find(&self.text).or_else(|| self.unquoted.as_deref().and_then(find))
    }
}

/// The texts to look at: without what cannot be seen, and as it is where that is another. Unseen characters break words
/// for one viewer and not for the other.
pub(super) fn readings(bytes: &[u8], format: Format) -> Vec<Text> {
    let original = String::from_utf8_lossy(bytes);
    let original = if format == Format::Canvas { Cow::Owned(json_plain(&original)) } else { original };
    let exempt = if format == Format::Markdown { quoted::front_matter(&original) } else { Vec::new() };
    let as_it_is = with_plain_ends(&original);
    if !holds_unseen(&as_it_is) {
        return vec![Text::new(as_it_is, exempt, format)];
    }
    let (mut text, mut from, mut moved) = (String::with_capacity(as_it_is.len()), 0, Vec::new());
    for range in &exempt {
        text.push_str(&visible(&as_it_is[from..range.start]));
        let start = text.len();
        text.push_str(&visible(&as_it_is[range.clone()]));
        moved.push(start..text.len());
        from = range.end;
    }
    text.push_str(&visible(&as_it_is[from..]));
    vec![Text::new(text, moved, format), Text::new(as_it_is, exempt, format)]
}

/// A text without what cannot be seen in it.
pub(super) fn visible(text: &str) -> Cow<'_, str> {
    if holds_unseen(text) { Cow::Owned(text.replace(is_unseen, "")) } else { Cow::Borrowed(text) }
}

/// Runs of plain signs, of which most texts are, are passed over without reading them as characters.
fn holds_unseen(text: &str) -> bool {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~' | b'\n' | b'\r' | b'\t');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| !is_plain(byte)) {
        let Some(c) = rest[at..].chars().next() else { break };
        if is_unseen(c) {
            return true;
        }
        rest = &rest[at + c.len_utf8()..];
    }
    false
}

fn is_unseen(c: char) -> bool {
    match c {
        ' '..='~' | '\n' | '\r' | '\t' => false,
        _ => c.is_control() || views::is_invisible(c),
    }
}

/// A carriage return alone ends a line for editors and browsers, and a form feed parts words; each stays one byte.
fn with_plain_ends(text: &str) -> String {
    if memchr::memchr3(b'\r', b'\x0b', b'\x0c', text.as_bytes()).is_none() {
        return text.to_owned();
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        plain.push(match c {
            '\r' if rest.peek() != Some(&'\n') => '\n',
            '\u{b}' | '\u{c}' => ' ',
            _ => c,
        });
    }
    plain
}

fn unquoted(text: &str) -> Option<String> {
    let begins = |line: &str| line.trim_start_matches([' ', '\t']).starts_with('>');
    if !text.contains('>') || !text.split('\n').any(begins) {
        return None;
    }
    let mut plain = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let rest = line.trim_start_matches([' ', '\t', '>']);
        plain.push_str(&line[..line.len() - rest.len()].replace('>', " "));
        plain.push_str(rest);
    }
    Some(plain)
}

/// JSON with the escapes of its strings read.
fn json_plain(json: &str) -> String {
    let mut plain = String::with_capacity(json.len());
    let mut rest = json;
    while let Some((before, behind)) = rest.split_once('\\') {
        plain.push_str(before);
        rest = behind;
        let Some(sign) = rest.chars().next() else { break };
        rest = &rest[sign.len_utf8()..];
        match sign {
            'n' => plain.push('\n'),
            'r' => plain.push('\r'),
            't' => plain.push('\t'),
            'b' | 'f' => plain.push(' '),
            'u' => {
                let (unit, after) = utf16_unit(rest);
                let low = after.strip_prefix("\\u").map(utf16_unit);
                let pair = low.and_then(|(low, _)| char::decode_utf16([unit, low]).next()?.ok());
                let is_high = (0xd800..0xdc00).contains(&unit);
                plain.push(pair.filter(|_| is_high).or(char::from_u32(unit.into())).unwrap_or('\u{fffd}'));
                rest = if is_high && pair.is_some() { low.map_or(after, |(_, after)| after) } else { after };
            }
            _ => plain.push(sign),
        }
    }
    plain.push_str(rest);
    plain
}

/// Four digits of a number, and what comes after; 0 where there are none.
fn utf16_unit(text: &str) -> (u16, &str) {
    let digits = text.get(..4).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    digits.map_or((0, text), |digits| (u16::from_str_radix(digits, 16).unwrap_or_default(), &text[4..]))
}
