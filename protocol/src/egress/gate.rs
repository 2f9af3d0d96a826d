//! What a value has to pass besides its shape, so that examples, hashes and words are not taken for credentials.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use data_encoding::BASE64URL_NOPAD;

use super::{
    reading::Reading,
    rule::{Class, Match, run},
};

/// A test of a value that has the right shape.
#[derive(Clone, Copy)]
pub(super) enum Gate {
    /// The random part has at least this entropy, in tenths of a bit for each byte.
    Entropy(u32),
    /// Letters and digits stand in the random part.
    Mixed,
    /// Something else than hexadecimal digits stands in the random part.
    NotHex,
    /// The random part is 30 characters and their CRC-32 in six digits to the base of 62.
    Checksum62,
    /// These bytes stand in the value.
    Contains(&'static str),
    /// One of these stands within 300 bytes before or behind, in any case.
    Near(&'static [&'static str]),
    /// The value is a JSON web token: its header is JSON that names an algorithm.
    WebToken,
    /// The value is a password, and not a word about one.
    Password,
    /// It is no part of base64 or of a longer name.
    Alone,
    /// It is not the part of a link that lets its readers into a meeting.
    NoInvitation,
    /// The title is that of a private key, and the key follows.
    PrivateArmour,
    /// It is no stand-in for a value.
    NoPlaceholder,
}

pub(super) const NEAR: usize = 300;

/// Bytes of a random part that are counted for its entropy.
pub(super) const COUNTED_MAX: usize = 256;

/// How far behind the title of an armour its first line of key may stand, and how long that is at least.
const ARMOUR_HEADERS_MAX: usize = 600;
const ARMOUR_LINE_MIN: usize = 32;

/// Marks of stand-ins, lower case.
const PLACEHOLDERS: [&str; 19] = [
    "example",
    "xxxx",
    "your_",
    "your-",
    "yourapi",
    "yourkey",
    "yourtoken",
    "yoursecret",
    "placeholder",
    "changeme",
    "change_me",
    "redacted",
    "****",
    "....",
    "____",
    "00000000",
    "123456789",
    "<",
    "${",
];

/// Finds a mark of a stand-in, in any case.
static STAND_INS: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let mut builder = AhoCorasick::builder();
    builder.ascii_case_insensitive(true).build(PLACEHOLDERS).expect("a few short marks fit an automaton")
});

/// Words that stand where a password would.
const PASSWORD_WORDS: [&str; 8] = ["pass", "password", "passwd", "pw", "pwd", "secret", "token", "hunter2"];

impl Gate {
    pub(super) fn passes(self, reading: &mut Reading<'_>, found: &mut Match) -> bool {
        let text = reading.text;
        let body = &text[found.body..found.end];
        match self {
            Self::Entropy(tenths) => {
                reading.entropy_tenths(found.body, found.end.min(found.body + COUNTED_MAX)) >= tenths
            }
            Self::Mixed => mixed(body),
            Self::NotHex => !body.iter().all(u8::is_ascii_hexdigit),
            Self::Checksum62 => checksum_fits(body),
            Self::Contains(part) => contains(&text[found.start..found.end], part.as_bytes()),
            Self::Near(words) => reading.has_near(words, found.start, found.end),
            Self::WebToken => names_an_algorithm(&text[found.start..found.end]),
            Self::Password => is_password(body) && !matches!(text.get(found.end), Some(b'(' | b'[' | b'{')),
            Self::Alone => {
                let joined = |byte: Option<&u8>| matches!(byte, Some(b'+' | b'/' | b'_'));
                !joined(text[..found.start].last()) && !joined(text.get(found.end))
            }
            Self::NoInvitation => !text[..found.start].ends_with(b"?pwd=") && !text[..found.start].ends_with(b"&pwd="),
            Self::PrivateArmour => private_armour(text, found),
            #[cfg(test)]
            Self::NoPlaceholder if super::plain::is_on() => {
                let lower = text[found.start..found.end].to_ascii_lowercase();
                !PLACEHOLDERS.iter().any(|mark| contains(&lower, mark.as_bytes()))
            }
            Self::NoPlaceholder => !STAND_INS.is_match(&text[found.start..found.end]),
        }
    }
}

pub(super) fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn mixed(body: &[u8]) -> bool {
    body.iter().any(u8::is_ascii_digit) && body.iter().any(u8::is_ascii_alphabetic)
}

const DIGITS_62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const CHECKSUM_DIGITS: usize = 6;

fn checksum_fits(body: &[u8]) -> bool {
    body.split_last_chunk::<CHECKSUM_DIGITS>().is_some_and(|(random, checksum)| checksum_62(random) == *checksum)
}

/// The checksum that GitHub appends: CRC-32 in six digits to the base of 62.
pub(super) fn checksum_62(random: &[u8]) -> [u8; CHECKSUM_DIGITS] {
    let mut rest = crc_32(random);
    let mut digits = [b'0'; CHECKSUM_DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS_62[(rest % 62) as usize];
        rest /= 62;
    }
    digits
}

/// CRC-32 as of ISO 3309, bit by bit: it is computed over 30 bytes, where a value has the right shape.
fn crc_32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

fn names_an_algorithm(token: &[u8]) -> bool {
    let header = token.split(|byte| *byte == b'.').next().unwrap_or_default();
    let decoded = BASE64URL_NOPAD.decode(header).ok();
    let json = decoded.and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
    json.is_some_and(|json| json.get("alg").is_some_and(serde_json::Value::is_string))
}

fn is_password(body: &[u8]) -> bool {
    let lower = body.to_ascii_lowercase();
    let word = PASSWORD_WORDS.iter().any(|word| lower == word.as_bytes());
    let reference = matches!(body.first(), Some(b'$' | b'%' | b'/' | b'#' | b'&' | b'.')) || contains(body, b"://");
    !word && !reference
}

/// Moves the end of the match behind the first line of the key.
fn private_armour(text: &[u8], found: &mut Match) -> bool {
    let title = &text[found.start..found.end];
    if !contains(title, b"PRIVATE KEY") {
        return false;
    }
    let limit = text.len().min(found.end + ARMOUR_HEADERS_MAX);
    let mut at = found.end;
    while at < limit {
        // Behind the last byte of another class, no line that is long enough begins before it.
        let line = text.get(at..at + ARMOUR_LINE_MIN).unwrap_or_default();
        if let Some(other) = line.iter().rposition(|byte| !Class::Base64.has(*byte)) {
            at += other + 1;
            continue;
        }
        let length = run(Class::Base64, &text[at..], limit + ARMOUR_LINE_MIN - at);
        if length >= ARMOUR_LINE_MIN {
            (found.body, found.end) = (at, at + length);
            return true;
        }
        at += length + 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_published_one() {
        assert_eq!(crc_32(b"123456789"), 0xcbf4_3926);
        assert_eq!(checksum_62(b"MadeUpForATestOfTheGuard4Notes"), *b"2mSrxI");
    }
}
