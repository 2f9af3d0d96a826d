//! A note as its parts: front matter cut by lines, and a body. Byte-exact both ways.

use std::collections::{BTreeMap, BTreeSet};

use crate::shape::Shape;

/// In documents it follows the word for the line ends of a day log whose last line does not end.
const UNENDED: &str = " unended";

/// Line ends of a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eol {
    /// `\n` throughout, or no line end at all.
    Lf,
    /// `\r\n` throughout; the parts hold `\n`.
    CrLf,
    /// Both; the parts hold what stands on disk.
    Mixed,
}

impl Eol {
    /// The word for it in documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lf => "lf",
            Self::CrLf => "crlf",
            Self::Mixed => "mixed",
        }
    }

    /// Reads the word; anything unknown is `Mixed`, which changes no byte.
    pub fn parse(word: &str) -> Self {
        match word {
            "lf" => Self::Lf,
            "crlf" => Self::CrLf,
            _ => Self::Mixed,
        }
    }

    fn of(text: &str) -> Self {
        let newlines = text.matches('\n').count();
        let pairs = text.matches("\r\n").count();
        let returns = text.matches('\r').count();
        match (newlines, pairs, returns) {
            (_, 0, 0) => Self::Lf,
            (newlines, pairs, returns) if newlines == pairs && returns == pairs => Self::CrLf,
            _ => Self::Mixed,
        }
    }
}

/// Front matter as blocks: a block starts at an unindented `key:`, everything else belongs to the block before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrontMatter {
    /// Keys in the order of the file. Lines before the first key stand under the empty key.
    pub order: Vec<String>,
    /// The raw lines of each block, its key line included.
    pub blocks: BTreeMap<String, String>,
}

/// A note cut into its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Whether the file starts with a byte order mark.
    pub bom: bool,
    /// Its line ends.
    pub eol: Eol,
    /// The front matter, when the file begins with a closed fence and no key stands twice.
    pub front_matter: Option<FrontMatter>,
    /// Everything else; after a front matter it begins with the rest of the closing fence's line.
    pub body: String,
    /// Whether the last line of a day log does not end on disk. In the parts it does: what another adds is a line of its own.
    pub is_unended: bool,
}

const BOM: &str = "\u{feff}";
const FENCE: &str = "---";

impl Note {
    /// Cuts a text. Nothing is interpreted as YAML: 15 % of real front matters are none.
    pub fn parse(text: &str) -> Self {
        let (bom, text) = match text.strip_prefix(BOM) {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let eol = Eol::of(text);
        let text = if eol == Eol::CrLf { text.replace("\r\n", "\n") } else { text.to_owned() };
        let (front_matter, body) = match cut_front_matter(&text) {
            Some((front_matter, body)) => (Some(front_matter), body.to_owned()),
            None => (None, text),
        };
        Self { bom, eol, front_matter, body, is_unended: false }
    }

    /// Cuts a text of this shape.
    pub fn parse_as(text: &str, shape: Shape) -> Self {
        let mut note = Self::parse(text);
        if shape.is_day_log() && !text.is_empty() && !note.body.ends_with('\n') {
            note.body.push('\n');
            note.is_unended = true;
        }
        note
    }

    /// The word for its line ends in documents.
    pub(crate) fn line_ends(&self) -> String {
        format!("{}{}", self.eol.as_str(), if self.is_unended { UNENDED } else { "" })
    }

    /// Reads the word: the line ends, and whether the last one is missing.
    pub(crate) fn read_line_ends(word: &str) -> (Eol, bool) {
        match word.strip_suffix(UNENDED) {
            Some(word) => (Eol::parse(word), true),
            None => (Eol::parse(word), false),
        }
    }

    /// Puts the parts together again.
    pub fn to_text(&self) -> String {
        let mut text = String::with_capacity(self.body.len() + 256);
        if let Some(front_matter) = &self.front_matter {
            text.push_str(FENCE);
            text.push('\n');
            for (_, block) in front_matter.ordered() {
                text.push_str(block);
            }
            text.push_str(FENCE);
        }
        let body = if self.is_unended { self.body.strip_suffix('\n') } else { None };
        text.push_str(body.unwrap_or(&self.body));
        let text = if self.eol == Eol::CrLf { text.replace('\n', "\r\n") } else { text };
        if self.bom { format!("{BOM}{text}") } else { text }
    }

    /// The value of a front matter key as written on its first line, trimmed.
    pub fn field(&self, key: &str) -> Option<&str> {
        let block = self.front_matter.as_ref()?.blocks.get(key)?;
        block.lines().next()?.split_once(':').map(|(_, value)| value.trim())
    }
}

impl FrontMatter {
    /// The blocks by the keys of `order`, then those that `order` lacks, sorted.
    pub fn ordered(&self) -> impl Iterator<Item = (&str, &str)> {
        let listed: BTreeSet<_> = self.order.iter().collect();
        let missing = self.blocks.keys().filter(move |key| !listed.contains(key));
        let keys = self.order.iter().chain(missing);
        keys.filter_map(|key| self.blocks.get_key_value(key)).map(|(key, block)| (key.as_str(), block.as_str()))
    }
}

fn cut_front_matter(text: &str) -> Option<(FrontMatter, &str)> {
    let mut rest = text.strip_prefix(FENCE)?.strip_prefix('\n')?;
    let mut front_matter = FrontMatter::default();
    loop {
        let line_end = rest.find('\n');
        let line = line_end.map_or(rest, |end| &rest[..end]);
        if line == FENCE {
            return Some((front_matter, &rest[FENCE.len()..]));
        }
        let (whole_line, after) = rest.split_at(line_end? + 1);
        match key_of(line) {
            Some(key) if front_matter.blocks.contains_key(key) => return None,
            Some(key) => {
                front_matter.order.push(key.to_owned());
                front_matter.blocks.insert(key.to_owned(), whole_line.to_owned());
            }
            None => {
                let last = front_matter.order.last().cloned().unwrap_or_default();
                if front_matter.order.is_empty() {
                    front_matter.order.push(String::new());
                }
                front_matter.blocks.entry(last).or_default().push_str(whole_line);
            }
        }
        rest = after;
    }
}

/// The key that a line starts a block with: unindented, no list item, no comment.
fn key_of(line: &str) -> Option<&str> {
    let (key, _) = line.split_once(':')?;
    let plain = !key.is_empty() && !key.starts_with([' ', '\t', '#', '-', '"', '\'', '[', '{']);
    plain.then(|| key.trim_end()).filter(|key| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn blocks_start_at_unindented_keys() {
        let note = Note::parse("---\n# c\ntype: email\ntags:\n  - a\n  - b: c\nsubject: x: [y\n---\nBody\n");
        let front_matter = note.front_matter.as_ref().expect("front matter");
        assert_eq!(front_matter.order, ["", "type", "tags", "subject"]);
        assert_eq!(front_matter.blocks["tags"], "tags:\n  - a\n  - b: c\n");
        assert_eq!(note.field("subject"), Some("x: [y"));
        assert_eq!(note.body, "\nBody\n");
    }

    #[test]
    fn an_open_fence_or_a_repeated_key_is_body() {
        for text in ["---\na: 1\n", "---\na: 1\na: 2\n---\n", "----\na: 1\n---\n", "# H\n---\na: 1\n---\n", "---"] {
            assert_eq!(Note::parse(text).front_matter, None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn every_text_comes_back_byte_for_byte(
            lines in proptest::collection::vec("(---|[a-c]: ?.{0,6}|  - x|.{0,8}|\u{feff})(\n|\r\n|\r)?", 0..12),
        ) {
            let text = lines.concat();
            prop_assert_eq!(Note::parse(&text).to_text(), text.as_str());
            for shape in [Shape::Lines, Shape::Array] {
                prop_assert_eq!(Note::parse_as(&text, shape).to_text(), text.as_str());
            }
        }
    }
}
