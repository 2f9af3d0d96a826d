//! The ways in which a text is looked at besides as it is: without what cannot be seen, without white space, and with
//! one level of encoding taken off.
//!
//! A view is made only where the text has something that calls for it, one at a time, and is never larger than a
//! small multiple of what it was made from; each costs time in proportion to the text.

mod decode;
mod escapes;

use unicode_normalization::UnicodeNormalization as _;

pub(super) use decode::{Piece, pieces, runs};
pub(crate) use escapes::unescaped;

/// A whole text in another spelling; its lines are those of the text.
pub(super) fn respelt(text: &[u8]) -> [Option<Vec<u8>>; 3] {
    [visible(text), without_nuls(text), unescaped(text)]
}

/// The text without invisible characters and with compatibility forms (full width, mathematical, circled) as plain
/// letters; none if it has none of them beside anything that could be a part of a secret.
fn visible(text: &[u8]) -> Option<Vec<u8>> {
    #[cfg(test)]
    let plainly = super::plain::is_on() && !text.is_ascii();
    #[cfg(not(test))]
    let plainly = false;
    let called_for = plainly
        || match std::str::from_utf8(text) {
            Ok(text) => calls_for_respelling(text),
            Err(_) => text.utf8_chunks().any(|chunk| calls_for_respelling(chunk.valid())),
        };
    if !called_for {
        return None;
    }
    let mut plain = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_ascii() {
                plain.push(c);
            } else if !is_invisible(c) {
                push_compatible(&mut plain, c);
            }
        }
    }
    Some(plain.into_bytes())
}

fn calls_for_respelling(text: &str) -> bool {
    let mut from = 0;
    while let Some(at) = not_ascii(text.as_bytes(), from) {
        let Some(c) = text[at..].chars().next() else { return false };
        from = at + c.len_utf8();
        // Emoji are put together by characters that cannot be seen: those stand beside no ASCII.
        let beside_text = || {
            let before = at.checked_sub(1).is_some_and(|before| text.as_bytes()[before].is_ascii());
            before || text.as_bytes().get(from).is_some_and(u8::is_ascii_alphanumeric)
        };
        if is_letter_form(c) || (is_invisible(c) && beside_text()) {
            return true;
        }
    }
    false
}

/// The first byte at `from` or behind it that is not ASCII.
fn not_ascii(text: &[u8], mut from: usize) -> Option<usize> {
    while text[from..].first_chunk::<16>().is_some_and(|block| block.is_ascii()) {
        from += 16;
    }
    text[from..].iter().position(|byte| !byte.is_ascii()).map(|at| from + at)
}

/// Appends the form that `c` is compatible with; `c` itself where that would take much more room.
fn push_compatible(plain: &mut String, c: char) {
    // Full width characters are ASCII at another place; a form of many characters takes too much room in any case.
    if let Some(ascii) = u32::from(c).checked_sub(0xfee0).filter(|code| (0x21..0x7f).contains(code)) {
        plain.extend(char::from_u32(ascii));
        return;
    }
    let mut parts = 0;
    unicode_normalization::char::decompose_compatible(c, |_| parts += 1);
    if parts > COMPATIBLE_PARTS_MAX {
        plain.push(c);
        return;
    }
    let length = plain.len();
    plain.extend(std::iter::once(c).nfkc());
    if plain.len() > length + 4 {
        plain.truncate(length);
        plain.push(c);
    }
}

/// Characters that take no room, and so may stand inside a secret unseen.
pub(crate) const fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// Parts of a form that may still be one of four bytes: more never compose to so few.
const COMPATIBLE_PARTS_MAX: usize = 8;

/// Letters and digits in another form.
const fn is_letter_form(c: char) -> bool {
    matches!(c, '\u{ff10}'..='\u{ff19}' | '\u{ff21}'..='\u{ff3a}' | '\u{ff41}'..='\u{ff5a}'
        | '\u{2460}'..='\u{2468}' | '\u{24b6}'..='\u{24e9}' | '\u{1d400}'..='\u{1d7ff}' | '\u{1f130}'..='\u{1f149}')
}

/// UTF-16 of either byte order, read as what stands between its zero bytes; none if the text has few of them.
fn without_nuls(text: &[u8]) -> Option<Vec<u8>> {
    /// Fewer zero bytes than one in so many are not UTF-16 of any length that matters.
    const NUL_SHARE: usize = 64;
    let nuls = text.iter().filter(|byte| **byte == 0).count();
    (nuls > 0 && nuls >= (text.len() / NUL_SHARE).min(8))
        .then(|| text.iter().copied().filter(|byte| *byte != 0).collect())
}

/// A text without its white space and without the marks of quoted-printable line ends.
pub(super) struct Folded {
    pub(super) bytes: Vec<u8>,
    /// How many bytes of the view come before each block of the text.
    before: Vec<usize>,
}

const BLOCK: usize = 256;

impl Folded {
    pub(super) fn of(text: &[u8]) -> Self {
        let mut bytes = vec![0; text.len()];
        let mut before = Vec::with_capacity(text.len() / BLOCK + 1);
        let mut length = 0;
        #[cfg(test)]
        let soft = super::plain::is_on() || has_soft_line_end(text);
        #[cfg(not(test))]
        let soft = has_soft_line_end(text);
        for (number, block) in text.chunks(BLOCK).enumerate() {
            before.push(length);
            if soft {
                for (at, byte) in (number * BLOCK..).zip(block) {
                    bytes[length] = *byte;
                    length += usize::from(!is_folded(text, at));
                }
            } else {
                for byte in block {
                    bytes[length] = *byte;
                    length += usize::from(KEPT[usize::from(*byte)]);
                }
            }
        }
        bytes.truncate(length);
        Self { bytes, before }
    }

    /// Where a byte of the view stands in the text.
    pub(super) fn origin(&self, text: &[u8], at: usize) -> usize {
        let block = self.before.partition_point(|before| *before <= at).saturating_sub(1);
        let mut kept = (block * BLOCK..text.len()).filter(|place| !is_folded(text, *place));
        kept.nth(at - self.before.get(block).copied().unwrap_or(at)).unwrap_or_default()
    }
}

/// 1 for what is no white space, 0 for what is.
static KEPT: [u8; 256] = {
    let mut table = [1; 256];
    table[b' ' as usize] = 0;
    table[b'\t' as usize] = 0;
    table[b'\n' as usize] = 0;
    table[b'\r' as usize] = 0;
    table
};

/// Whether quoted-printable breaks a line anywhere.
fn has_soft_line_end(text: &[u8]) -> bool {
    memchr::memchr_iter(b'=', text).any(|at| matches!(text.get(at + 1), Some(b'\n' | b'\r')))
}

fn is_folded(text: &[u8], at: usize) -> bool {
    match text[at] {
        b' ' | b'\t' | b'\n' | b'\r' => true,
        b'=' => matches!(text.get(at + 1), Some(b'\n' | b'\r')),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folded_byte_knows_where_it_stood() {
        let text = "a b\n\n c=\r\nd ".repeat(300);
        let folded = Folded::of(text.as_bytes());
        assert_eq!(folded.bytes, "abcd".repeat(300).as_bytes());
        for (at, byte) in folded.bytes.iter().enumerate() {
            let origin = folded.origin(text.as_bytes(), at);
            assert_eq!((text.as_bytes()[origin], origin / 12), (*byte, at / 4));
        }
    }

    #[test]
    fn emoji_and_other_scripts_alone_call_for_no_second_look() {
        for text in [
            "plain",
            "gr\u{fc}n \u{2764}\u{fe0f} \u{1f469}\u{200d}\u{1f4bb}",
            "\u{4f60}\u{597d}\u{ff0c}\u{4e16}",
            "\u{20ac} 5\u{a0}000",
        ] {
            assert_eq!(respelt(text.as_bytes()), [None, None, None], "{text}");
        }
        let seen = |text: &str| respelt(text.as_bytes())[0].clone().map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(seen("s\u{200b}e\u{ad}c"), Some("sec".to_owned()));
        assert_eq!(seen("s\n\u{200b}ec"), Some("s\nec".to_owned()));
        assert_eq!(seen("\u{fc}\u{200b}b"), Some("\u{fc}b".to_owned()));
        assert_eq!(seen("\u{ff53}\u{ff45}\u{ff43}\u{1d7d7}"), Some("sec9".to_owned()));
    }

    #[test]
    fn a_view_is_never_much_larger_than_its_text() {
        let text = "\u{ff41}\u{fdfa}".repeat(1000);
        assert!(respelt(text.as_bytes())[0].as_ref().unwrap().len() <= 2 * text.len());
    }
}
