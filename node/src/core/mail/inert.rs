//! Text from outside, made inert: one line for values, spelt-out invisibles and escaped Markdown for bodies.

use std::fmt::Write;

use aiemp_protocol::vault_path::VaultPath;

/// Characters that start something in Markdown, in Obsidian or in one of its common plugins; each may stand behind a
/// backslash, where it is only itself. `%` is among them for `<%` of Templater and `%%` comments, which hide text.
const ACTIVE: &str = "\\`*_{}[]>#!|~$=%&^";

/// `<` stands as an entity, for tools that look for tags in the raw text know no backslash.
const LESS_THAN: &str = "&lt;";

/// Schemes that act when followed, or load; plain web and mail addresses only open on a click.
const ACTIVE_SCHEMES: [&str; 5] = ["obsidian", "javascript", "vbscript", "data", "file"];

/// Whether a character shows nothing of itself, steers the text around it, or may not stand in YAML.
///
/// The two emoji presentation selectors are left alone: they stand behind half of all emoji.
pub(crate) fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{600}'..='\u{605}' | '\u{6dd}' | '\u{70f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0d}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fdd0}'..='\u{fdef}' | '\u{fff0}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// One line without invisible characters, white space folded, at most `bytes_max` bytes.
pub(crate) fn one_line(text: &str, bytes_max: usize) -> String {
    let mut line = String::with_capacity(text.len().min(bytes_max));
    for word in text.split(|c: char| c.is_whitespace() || is_invisible(c)).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if line.len() > bytes_max {
            break;
        }
    }
    line.truncate(line.floor_char_boundary(bytes_max));
    line.truncate(line.trim_end().len());
    line
}

/// One line of Markdown that shows `line` and does nothing else.
pub(crate) fn escape_line(line: &str) -> String {
    let mut out = String::with_capacity(line.len() + line.len() / 8);
    for (at, c) in line.char_indices() {
        push_escaped(&mut out, line, at, c);
    }
    out
}

/// A link to a note. A name that would be more than that between the brackets stands as words: others may have given it.
pub(crate) fn link(path: &VaultPath) -> String {
    const ENDS: &str = "[]|#^`<>$%{}~=!*";
    let path = path.as_str();
    if path.contains(|c| ENDS.contains(c)) { escape_line(path) } else { format!("[[{path}]]") }
}

/// As many characters of `line` as fit `bytes_max` bytes when escaped, escaped.
pub(super) fn escape_within(line: &str, bytes_max: usize) -> (String, bool) {
    let mut out = String::new();
    for (at, c) in line.char_indices() {
        let before = out.len();
        push_escaped(&mut out, line, at, c);
        if out.len() > bytes_max {
            out.truncate(before);
            return (out, true);
        }
    }
    (out, false)
}

fn push_escaped(out: &mut String, line: &str, at: usize, c: char) {
    if c != '\t' && is_invisible(c) {
        write!(out, "\\[U+{:04X}\\]", u32::from(c)).expect("writing to a String cannot fail");
        return;
    }
    if c == '<' {
        out.push_str(LESS_THAN);
        return;
    }
    if ACTIVE.contains(c) || (c == ':' && colon_is_active(line, at)) {
        out.push('\\');
    }
    out.push(c);
}

/// `key:: value` is data to Dataview; `obsidian:` and its like are commands.
fn colon_is_active(line: &str, at: usize) -> bool {
    let before = &line[..at];
    let word = before.rfind(|c: char| !c.is_ascii_alphanumeric()).map_or(before, |end| {
        let next = before[end..].chars().next().map_or(0, char::len_utf8);
        &before[end + next..]
    });
    before.ends_with(':')
        || line[at + 1..].starts_with(':')
        || ACTIVE_SCHEMES.iter().any(|scheme| word.len() >= scheme.len() && ends_with_ignoring_case(word, scheme))
}

fn ends_with_ignoring_case(word: &str, end: &str) -> bool {
    word.as_bytes()[word.len() - end.len()..].eq_ignore_ascii_case(end.as_bytes())
}

/// Reads a line of [`escape_line`] back; invisible characters stay spelt out.
pub(super) fn unescape_line(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix(LESS_THAN) {
            out.push('<');
            rest = after;
            continue;
        }
        let escaped = rest[c.len_utf8()..].chars().next().filter(|next| c == '\\' && next.is_ascii_punctuation());
        out.push(escaped.unwrap_or(c));
        rest = &rest[c.len_utf8() + escaped.map_or(0, char::len_utf8)..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_an_escaped_line_loads_links_or_runs() {
        let hostile = "![[x]] [a](javascript:b) <img src=x> <% tp %> `= 1` %%c%% ```dataview a:: b $=x #tag OBSIDIAN:y";
        let line = escape_line(hostile);
        for active in ["![", "[[", "<", "<%", "`=", "%%", "```", "::", "$=", " #", "javascript:", "OBSIDIAN:"] {
            assert!(!line.contains(active), "{active} in {line}");
        }
        assert_eq!(unescape_line(&line), hostile);
    }

    #[test]
    fn invisible_characters_are_spelt_out() {
        assert_eq!(escape_line("a\u{202e}b\u{7}"), "a\\[U+202E\\]b\\[U+0007\\]");
        assert_eq!(unescape_line("a\\[U+202E\\]b"), "a[U+202E]b");
        assert_eq!(escape_line("https://a.test/x \u{2764}\u{fe0f}"), "https://a.test/x \u{2764}\u{fe0f}");
    }

    #[test]
    fn a_value_is_one_visible_line() {
        assert_eq!(one_line(" a\r\nBcc: b\u{200b}\u{202e}c\u{85}d ", 100), "a Bcc: b c d");
        assert_eq!(one_line("ab é", 4), "ab");
    }
}
