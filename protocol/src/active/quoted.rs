//! Front matter as the node itself writes it: what stands in its quotes is shown as it is.

use std::ops::Range;

/// Where quoted values stand in the front matter of a text, if every line of it has a form that all readers of YAML read
/// alike, and all agree on where it ends. In any other front matter nothing is exempt.
pub(super) fn front_matter(text: &str) -> Vec<Range<usize>> {
    let mut exempt = Vec::new();
    let mut at = 0;
    for (number, whole) in text.split_inclusive('\n').enumerate() {
        let line = whole.strip_suffix('\n').unwrap_or(whole);
        let line = line.strip_suffix('\r').unwrap_or(line);
        match (number, line) {
            (0, "---") => {}
            (0, _) => return Vec::new(),
            (_, "---") => return exempt,
            (_, line) => match values(line) {
                Some(values) => exempt.extend(values.into_iter().map(|value| at + value.start..at + value.end)),
                None => return Vec::new(),
            },
        }
        at += whole.len();
    }
    Vec::new()
}

/// The quoted values of a line `key: value`, `key: ["value", …]`, `key:` or `  - "value"`; none if it is another line.
fn values(line: &str) -> Option<Vec<Range<usize>>> {
    // To some readers a line ends at each of these.
    if line.contains(|c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
        return None;
    }
    let value_at = match line.strip_prefix("  - ") {
        Some(_) => 4,
        None => {
            let colon = line.find(':')?;
            let is_key = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
            if colon == 0 || !line.as_bytes()[..colon].iter().copied().all(is_key) {
                return None;
            }
            colon + 1 + usize::from(line[colon + 1..].starts_with(' '))
        }
    };
    let value = &line[value_at..];
    if value.starts_with(['"', '[']) {
        return strings(line, value_at);
    }
    // A bare word is looked at like any text.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || " ._-".contains(c);
    value.chars().all(is_plain).then(Vec::new)
}

/// One string, or a list of them, up to the end of the line.
fn strings(line: &str, from: usize) -> Option<Vec<Range<usize>>> {
    let bytes = line.as_bytes();
    let is_list = bytes[from] == b'[';
    let mut found = Vec::new();
    let mut at = from + usize::from(is_list);
    loop {
        if bytes.get(at) != Some(&b'"') {
            return None;
        }
        let end = end_of_string(bytes, at)?;
        found.push(at..end);
        match (is_list, &bytes[end..]) {
            (false, []) | (true, b"]") => return Some(found),
            (true, [b',', b' ', ..]) => at = end + 2,
            (true | false, _) => return None,
        }
    }
}

fn end_of_string(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}
