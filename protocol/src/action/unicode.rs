//! Which characters a reader cannot see or cannot tell from others.

use unicode_normalization::{
    UnicodeNormalization,
    char::{canonical_combining_class, is_combining_mark},
};

/// Writing systems whose letters pass for one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Script {
    Latin,
    /// Cyrillic, Greek, Armenian, Cherokee, Coptic, Lisu: with its name.
    LikeLatin(&'static str),
}

/// Marks that pile up on one letter hide it, and what stands above and below.
const MARKS_PER_LETTER_MAX: usize = 2;

/// Invisible characters, spaces that are not U+0020, and characters that steer how others are shown.
///
/// The format characters (Cf), default-ignorable code points and spaces (Zs, Zl, Zp) of Unicode 16, private use,
/// noncharacters, and conjoining jamo, which look like the composed syllables.
const HIDDEN: &[(u32, u32)] = &[
    (0x00A0, 0x00A0),
    (0x00AD, 0x00AD),
    (0x034F, 0x034F),
    (0x0600, 0x0605),
    (0x061C, 0x061C),
    (0x06DD, 0x06DD),
    (0x070F, 0x070F),
    (0x0890, 0x0891),
    (0x08E2, 0x08E2),
    (0x1100, 0x11FF),
    (0x1680, 0x1680),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x2000, 0x200F),
    (0x2028, 0x202F),
    (0x205F, 0x206F),
    (0x2800, 0x2800),
    (0x3000, 0x3000),
    (0x3164, 0x3164),
    (0xA960, 0xA97F),
    (0xD7B0, 0xD7FF),
    (0xE000, 0xF8FF),
    (0xFDD0, 0xFDEF),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFFC),
    (0xFFFE, 0xFFFF),
    (0x110BD, 0x110BD),
    (0x110CD, 0x110CD),
    (0x13430, 0x1345F),
    (0x16FE4, 0x16FE4),
    (0x1BCA0, 0x1BCA3),
    (0x1D159, 0x1D159),
    (0x1D173, 0x1D17A),
    (0xE0000, 0xE0FFF),
    (0xF0000, 0x10FFFF),
];

/// Signs that pass for the `.`, `/`, `-`, `:` or `@` of an address or link.
const LIKE_LINK_SIGNS: &[char] = &[
    '\u{2010}', '\u{2011}', '\u{2024}', '\u{2044}', '\u{2215}', '\u{2236}', '\u{29F8}', '\u{3002}', '\u{A789}',
    '\u{FE52}', '\u{FE55}', '\u{FE6B}', '\u{FF0D}', '\u{FF0E}', '\u{FF0F}', '\u{FF1A}', '\u{FF20}', '\u{FF61}',
];

/// Cannot be seen, or changes how its neighbours are shown.
pub(super) fn is_hidden(c: char) -> bool {
    let code = u32::from(c);
    if c.is_ascii() {
        return c.is_control();
    }
    c.is_control()
        || HIDDEN.iter().any(|(first, last)| (*first..=*last).contains(&code))
        || code & 0xFFFE == 0xFFFE
        || !std::iter::once(c).nfc().eq([c])
}

/// For each character, whether it passes for another one where it stands.
pub(super) fn look_alikes(chars: &[char]) -> Vec<bool> {
    let mut found = vec![false; chars.len()];
    if chars.iter().all(char::is_ascii) {
        return found;
    }
    for (at, c) in chars.iter().enumerate() {
        let beside_ascii = |at: Option<usize>| at.and_then(|at| chars.get(at)).is_some_and(char::is_ascii_alphanumeric);
        let in_link = beside_ascii(at.checked_sub(1)) && beside_ascii(Some(at + 1));
        found[at] = is_styled_ascii(*c) || (in_link && LIKE_LINK_SIGNS.contains(c));
    }
    flag_marks(chars, &mut found);
    flag_mixed(chars, &mut found, is_word_part, |_| true);
    flag_mixed(chars, &mut found, |c| is_word_part(c) || ".@_-/:".contains(c), looks_like_link);
    found
}

fn is_word_part(c: char) -> bool {
    c.is_alphanumeric() || is_combining_mark(c)
}

/// Has a sign of addresses and links between two of its characters.
fn looks_like_link(token: &[char]) -> bool {
    token.windows(3).any(
        |window| matches!(window, [before, '.' | '@', after] if before.is_alphanumeric() && after.is_alphanumeric()),
    )
}

/// A full-width, mathematical or enclosed form of an ASCII letter or digit.
fn is_styled_ascii(c: char) -> bool {
    let mut plain = std::iter::once(c).nfkc();
    u32::from(c) > 0xFF && matches!((plain.next(), plain.next()), (Some(plain), None) if plain.is_ascii_alphanumeric())
}

/// Flags combining marks that would look the same composed, stand alone or pile up.
fn flag_marks(chars: &[char], found: &mut [bool]) {
    let mut base = 0;
    while base < chars.len() {
        let end = (base + 1..chars.len()).find(|at| !is_combining_mark(chars[*at])).unwrap_or(chars.len());
        let cluster = &chars[base..end];
        let is_alone = is_combining_mark(chars[base]) || !chars[base].is_alphanumeric();
        let stacked = cluster.iter().filter(|c| canonical_combining_class(**c) != 0).count() > MARKS_PER_LETTER_MAX;
        let recomposes = !cluster.iter().copied().nfc().eq(cluster.iter().copied());
        if is_alone || stacked || recomposes {
            for at in base..end {
                found[at] |= is_combining_mark(chars[at]);
            }
        }
        base = end;
    }
}

/// Flags letters like Latin ones in runs of `part` that hold Latin letters too.
fn flag_mixed(chars: &[char], found: &mut [bool], part: impl Fn(char) -> bool, counts: impl Fn(&[char]) -> bool) {
    let mut start = 0;
    for run in chars.split(|c| !part(*c)) {
        if run.iter().any(|c| script(*c) == Some(Script::Latin)) && counts(run) {
            for (at, c) in run.iter().enumerate() {
                found[start + at] |= matches!(script(*c), Some(Script::LikeLatin(_)));
            }
        }
        start += run.len() + 1;
    }
}

fn script(c: char) -> Option<Script> {
    match u32::from(c) {
        0x41..=0x5A | 0x61..=0x7A | 0xC0..=0x2AF | 0x1E00..=0x1EFF if c.is_alphabetic() => Some(Script::Latin),
        0x370..=0x3FF | 0x1F00..=0x1FFF => Some(Script::LikeLatin("GREEK")),
        0x400..=0x52F | 0x1C80..=0x1C8F | 0x2DE0..=0x2DFF | 0xA640..=0xA69F => Some(Script::LikeLatin("CYRILLIC")),
        0x530..=0x58F => Some(Script::LikeLatin("ARMENIAN")),
        0x13A0..=0x13FF | 0xAB70..=0xABBF => Some(Script::LikeLatin("CHEROKEE")),
        0x2C80..=0x2CFF => Some(Script::LikeLatin("COPTIC")),
        0xA4D0..=0xA4FF => Some(Script::LikeLatin("LISU")),
        _ => None,
    }
}

/// A word that helps a person; most characters have none.
pub(super) fn name(c: char) -> Option<&'static str> {
    let name = match c {
        '\0' => "NULL",
        '\u{8}' => "BACKSPACE",
        '\n' => "LINE FEED",
        '\r' => "CARRIAGE RETURN",
        '\u{1b}' => "ESCAPE",
        ' ' => "SPACE",
        '\u{a0}' => "NO-BREAK SPACE",
        '\u{ad}' => "SOFT HYPHEN",
        '\u{61c}' => "ARABIC LETTER MARK",
        '\u{200b}' => "ZERO WIDTH SPACE",
        '\u{200c}' => "ZERO WIDTH NON-JOINER",
        '\u{200d}' => "ZERO WIDTH JOINER",
        '\u{200e}' => "LEFT-TO-RIGHT MARK",
        '\u{200f}' => "RIGHT-TO-LEFT MARK",
        '\u{2028}' => "LINE SEPARATOR",
        '\u{2029}' => "PARAGRAPH SEPARATOR",
        '\u{202a}' => "LEFT-TO-RIGHT EMBEDDING",
        '\u{202b}' => "RIGHT-TO-LEFT EMBEDDING",
        '\u{202c}' => "POP DIRECTIONAL FORMATTING",
        '\u{202d}' => "LEFT-TO-RIGHT OVERRIDE",
        '\u{202e}' => "RIGHT-TO-LEFT OVERRIDE",
        '\u{2060}' => "WORD JOINER",
        '\u{2066}' => "LEFT-TO-RIGHT ISOLATE",
        '\u{2067}' => "RIGHT-TO-LEFT ISOLATE",
        '\u{2068}' => "FIRST STRONG ISOLATE",
        '\u{2069}' => "POP DIRECTIONAL ISOLATE",
        '\u{fe0f}' => "EMOJI VARIATION",
        '\u{feff}' => "BYTE ORDER MARK",
        _ => {
            return match script(c)? {
                Script::Latin => None,
                Script::LikeLatin(script) => Some(script),
            };
        }
    };
    Some(name)
}
