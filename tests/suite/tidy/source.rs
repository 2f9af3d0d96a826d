//! A text file of the tree, and Rust text with its comments and literals blanked out.

use std::fs;
use std::ops::Range;
use std::path::Path;

/// A text file, its path relative to the top with `/` between the parts.
pub(super) struct Source {
    pub(super) path: String,
    pub(super) text: String,
    /// The text with comments and literals replaced by spaces, line for line and byte for byte.
    pub(super) code: String,
    /// The text with literals alone replaced by spaces: code and comments.
    pub(super) prose: String,
}

impl Source {
    pub(super) fn new(path: String, text: String) -> Self {
        let (code, prose) = if path.ends_with(".rs") {
            let spans = spans(&text);
            (blank(&text, &spans, |_| true), blank(&text, &spans, |kind| kind == Kind::Literal))
        } else {
            (text.clone(), text.clone())
        };
        Self { path, text, code, prose }
    }

    /// The number of lines that ship: those before the inline test module.
    pub(super) fn production_lines(&self) -> usize {
        let lines: Vec<&str> = self.code.lines().collect();
        let is_module = |line: &&&str| {
            let item = line.trim_start();
            !item.starts_with("#[") && !item.is_empty()
        };
        for (at, line) in lines.iter().enumerate() {
            if line.trim() == "#[cfg(test)]" && lines[at..].iter().find(is_module).is_some_and(|l| l.contains("mod ")) {
                return at;
            }
        }
        lines.len()
    }

    /// Tells code that ships, and the harness, from the files that hold tests only.
    pub(super) fn ships(&self) -> bool {
        let in_tests = self.path.contains("/tests/") || self.path.ends_with("/tests.rs");
        (self.path.contains("/src/") || self.path.starts_with("tests/harness/")) && !in_tests
    }

    /// The code before the inline test module; nothing of a file that holds tests only.
    pub(super) fn shipped_code(&self) -> &str {
        let end = self.code.split_inclusive('\n').take(self.production_lines()).map(str::len).sum();
        if self.ships() { &self.code[..end] } else { "" }
    }

    /// The name without folder and extension.
    pub(super) fn stem(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or(&self.path);
        name.split('.').next().unwrap_or(name)
    }
}

/// The 1-based line of a byte offset.
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count() + 1
}

pub(super) fn rust_files(root: &Path) -> Vec<Source> {
    text_files(root).into_iter().filter(|file| file.path.ends_with(".rs")).collect()
}

/// Every UTF-8 file of the tree but build output, hidden folders and recorded inputs, in order of path.
pub(super) fn text_files(root: &Path) -> Vec<Source> {
    let mut found = Vec::new();
    walk(root, "", &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn walk(folder: &Path, prefix: &str, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).expect("the tree is readable") {
        let entry = entry.expect("the tree is readable");
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        let kind = entry.file_type().expect("the tree is readable");
        if kind.is_dir() {
            let hidden = name.starts_with('.') && name != ".ci";
            let recorded = ["tests/vectors", "tests/fixtures", "tests/fuzz/corpus"].contains(&path.as_str());
            let built = ["target", "node_modules", "__pycache__", "artifacts"].contains(&name.as_str());
            if !(hidden || recorded || built) {
                walk(&entry.path(), &format!("{path}/"), found);
            }
        } else if kind.is_file()
            && let Ok(text) = fs::read_to_string(entry.path())
        {
            found.push(Source::new(path, text));
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Comment,
    Literal,
}

fn blank(text: &str, spans: &[(Range<usize>, Kind)], hides: impl Fn(Kind) -> bool) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for (range, _) in spans.iter().filter(|(_, kind)| hides(*kind)) {
        bytes[range.clone()].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
    }
    String::from_utf8(bytes).expect("spans begin and end at characters")
}

/// Where the comments and literals of a Rust text lie.
fn spans(text: &str) -> Vec<(Range<usize>, Kind)> {
    let mut spans = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let after_word = text[..at].ends_with(is_word);
        let (length, kind) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), Some(Kind::Comment))
        } else if rest.starts_with("/*") {
            (block_comment(rest), Some(Kind::Comment))
        } else if let Some(length) = (!after_word).then(|| raw_string(rest)).flatten() {
            (length, Some(Kind::Literal))
        } else if rest.starts_with('"') {
            (quoted(rest, '"'), Some(Kind::Literal))
        } else if rest.starts_with('\'') && is_char_literal(rest) {
            (quoted(rest, '\''), Some(Kind::Literal))
        } else {
            (rest.chars().next().map_or(1, char::len_utf8), None)
        };
        spans.extend(kind.map(|kind| (at..at + length, kind)));
        at += length;
    }
    spans
}

pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// The length of a raw string at the head of `rest`, with any of its prefixes.
fn raw_string(rest: &str) -> Option<usize> {
    let body = ["r", "br", "cr"].iter().find_map(|prefix| rest.strip_prefix(prefix))?;
    let inner = body.trim_start_matches('#');
    let hashes = body.len() - inner.len();
    let inner = inner.strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let head = rest.len() - inner.len();
    Some(inner.find(&close).map_or(rest.len(), |end| head + end + close.len()))
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + 1;
        }
    }
    rest.len()
}

/// Tells `'a'` from the lifetime `'a`.
fn is_char_literal(rest: &str) -> bool {
    let mut chars = rest.chars().skip(1);
    match chars.next() {
        Some('\\') => true,
        Some(_) => chars.next() == Some('\''),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        Source::new("a.rs".into(), text.into()).code
    }

    #[test]
    fn comments_and_literals_are_blanked_in_place() {
        assert_eq!(code("a // b\nc"), "a     \nc");
        assert_eq!(code("a /* b /* c */ d */ e"), "a                   e");
        assert_eq!(code(r#"f("{\"}", x)"#), "f(      , x)");
        assert_eq!(code("g(r#\"{\"}\"#) + br\"}\""), "g(        ) +      ");
        assert_eq!(code(r"h('{', '\'', &'a str)"), "h(   ,     , &'a str)");
        assert_eq!(code("let é = \"é{\";").len(), "let é = \"é{\";".len());
    }

    #[test]
    fn prose_keeps_the_comments() {
        assert_eq!(Source::new("a.rs".into(), "x(\"y\") // z".into()).prose, "x(   ) // z");
    }

    #[test]
    fn production_lines_end_at_the_test_module_alone() {
        let helper = "#[cfg(test)]\nuse a::b;\nfn x() {}\n";
        assert_eq!(Source::new("a.rs".into(), helper.into()).production_lines(), 3);
        let module = "fn x() {}\n\n#[cfg(test)]\n#[expect(lint)]\nmod tests {\n}\n";
        assert_eq!(Source::new("a.rs".into(), module.into()).production_lines(), 2);
    }
}
