//! Lines of a note that show something else than they say: turned around, or with characters that cannot be seen.
//!
//! Nothing is rewritten; such lines are listed, spelt out. What languages and emoji are written with is no such thing:
//! joiners between letters that join, soft hyphens in words, selectors behind emoji, and marks of direction in lines of a
//! language that is written from the right.

use crate::action::spelt;

/// A line, as it is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnseenLine {
    /// Its number, from 1.
    pub line: usize,
    /// Its text, spelt.
    pub spelt: String,
}

/// What is shown of a line before and behind the first such character.
const AROUND_CHARS: usize = 60;

/// The lines of a text that deceive.
pub fn unseen_lines(text: &str) -> Vec<UnseenLine> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut found = Vec::new();
    for (number, line) in text.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if let Some(at) = first_unseen(line) {
            let shown: String = line.chars().skip(at.saturating_sub(AROUND_CHARS)).take(2 * AROUND_CHARS).collect();
            found.push(UnseenLine { line: number + 1, spelt: spelt(&shown) });
        }
    }
    found
}

/// The place of the first character that deceives, counted in characters.
fn first_unseen(line: &str) -> Option<usize> {
    if line.bytes().all(|byte| (b' '..=b'~').contains(&byte) || byte == b'\t') {
        return None;
    }
    let chars: Vec<char> = line.chars().collect();
    let is_from_right = chars.iter().any(|c| is_right_to_left(*c));
    let is_balanced = is_from_right && is_balanced(&chars);
    (0..chars.len()).find(|at| {
        let before = at.checked_sub(1).map(|before| chars[before]);
        let after = chars.get(at + 1).copied();
        match chars[*at] {
            '\t' => false,
            '\u{202d}' | '\u{202e}' => true,
            '\u{202a}'..='\u{202c}' | '\u{2066}'..='\u{2069}' => !is_balanced,
            '\u{200e}' | '\u{200f}' | '\u{61c}' => !is_from_right,
            '\u{200c}' | '\u{200d}' => !joins(before) || !(joins(after) || after.is_none()),
            '\u{ad}' => is_address(&chars, *at),
            '\u{fe00}'..='\u{fe0f}' => !before.is_some_and(|c| !c.is_ascii() || "0123456789#*".contains(c)),
            '\u{e0100}'..='\u{e01ef}' => before.is_none_or(|c| u32::from(c) < 0x3400),
            '\u{e0020}'..='\u{e007f}' => !is_flag(&chars[..*at]),
            '\u{180b}'..='\u{180f}' => !before.is_some_and(|c| ('\u{1820}'..='\u{18aa}').contains(&c)),
            c => c.is_control() || is_never_written(c),
        }
    })
}

/// Characters that show nothing and that no language is written with.
const fn is_never_written(c: char) -> bool {
    matches!(c,
        '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{200b}' | '\u{2028}' | '\u{2029}'
        | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff9}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

const fn is_right_to_left(c: char) -> bool {
    matches!(c, '\u{5be}'..='\u{5f4}' | '\u{608}'..='\u{61b}' | '\u{61d}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}'
        | '\u{fe70}'..='\u{fefc}' | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
}

/// Letters of scripts whose letters join, and the parts of emoji.
fn joins(c: Option<char>) -> bool {
    c.is_some_and(|c| u32::from(c) >= 0x600 && !is_never_written(c) && !matches!(c, '\u{200c}'..='\u{206f}'))
}

/// Whether every turn of direction is taken back in the line.
fn is_balanced(chars: &[char]) -> bool {
    let mut depth = 0_i32;
    for c in chars {
        match c {
            '\u{202a}' | '\u{202b}' | '\u{2066}'..='\u{2068}' => depth += 1,
            '\u{202c}' | '\u{2069}' => depth -= 1,
            _ => {}
        }
        if depth < 0 {
            return false;
        }
    }
    depth == 0
}

/// Whether the word around a place is an address rather than prose.
fn is_address(chars: &[char], at: usize) -> bool {
    let before = chars[..at].iter().rev().take_while(|c| !c.is_whitespace());
    let after = chars[at..].iter().take_while(|c| !c.is_whitespace());
    before.chain(after).any(|c| matches!(c, '@' | '/' | ':' | '\\'))
}

/// Behind a black flag, tags name a country.
fn is_flag(before: &[char]) -> bool {
    before.iter().rev().find(|c| !('\u{e0020}'..='\u{e007f}').contains(*c)) == Some(&'\u{1f3f4}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::tests::{notes, prose};

    #[test]
    fn what_deceives_is_listed_with_its_line_spelt() {
        let text = "fine\npay \u{202e}eciovni\u{202c} now\r\nhttps://good\u{200b}.test\n";
        let found: Vec<_> = unseen_lines(text).into_iter().map(|found| (found.line, found.spelt)).collect();
        let turned = "pay [U+202E RIGHT-TO-LEFT OVERRIDE]eciovni[U+202C POP DIRECTIONAL FORMATTING] now";
        let hidden = "https://good[U+200B ZERO WIDTH SPACE].test";
        assert_eq!(found, [(2, turned.to_owned()), (3, hidden.to_owned())]);
        for text in [
            "a\u{200d}b",
            "pass\u{ad}word@client.test",
            "https://a\u{ad}b.test",
            "x\u{2066}y",
            "\u{5d0}\u{2067}x",
            "\u{5d0} \u{202e}x\u{202c}",
            "a\u{fe0f}",
            "a\u{e0041}\u{e0042}",
            "a\u{feff}b",
            "a\u{7}b",
            "a\u{3164}b",
            "a\u{2063}b",
            "\u{200f}abc",
        ] {
            assert_eq!(unseen_lines(text).len(), 1, "{text:?}");
        }
    }

    #[test]
    fn languages_and_emoji_are_no_alarm() {
        for text in [
            "\u{1f469}\u{200d}\u{1f4bb} \u{2764}\u{fe0f}\u{200d}\u{1f525} 1\u{fe0f}\u{20e3} \u{1f3f3}\u{fe0f}\u{200d}\u{1f308}",
            "\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
            "Donau\u{ad}dampf\u{ad}schiff, fine.",
            "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}",
            "\u{915}\u{94d}\u{200d}\u{937}",
            "\u{5e9}\u{5dc}\u{5d5}\u{5dd} \u{200f}(a)\u{200e} \u{2068}name\u{2069}",
            "\u{feff}a note with a mark of its byte order",
            "Gr\u{fc}\u{df}e \u{2013} \u{4f60}\u{597d}\u{3000}\u{a0}x",
            "\u{845b}\u{e0100}",
        ] {
            assert_eq!(unseen_lines(text), [], "{text:?}");
        }
        for number in 0..2_000 {
            assert_eq!(unseen_lines(&notes::note(number)), []);
            assert_eq!(unseen_lines(&prose::prose(number)), []);
        }
    }
}
