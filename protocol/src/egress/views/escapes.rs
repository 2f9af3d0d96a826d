//! What JSON, programs, Markdown, HTML and the notes of mails write in place of a character, read as that character.

use super::is_invisible;

/// Backslashes in front of one `u`: JSON as a text within JSON doubles them.
const BACKSLASHES_MAX: usize = 8;

/// Digits of a number in an entity, leading zeros among them.
const DIGITS_MAX: usize = 8;

/// Names of characters of ASCII in HTML, and of spaces.
const NAMES: [(&str, char); 34] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("nbsp", ' '),
    ("Tab", ' '),
    ("NewLine", ' '),
    ("excl", '!'),
    ("num", '#'),
    ("dollar", '$'),
    ("percnt", '%'),
    ("lpar", '('),
    ("rpar", ')'),
    ("ast", '*'),
    ("plus", '+'),
    ("comma", ','),
    ("period", '.'),
    ("sol", '/'),
    ("colon", ':'),
    ("semi", ';'),
    ("equals", '='),
    ("quest", '?'),
    ("commat", '@'),
    ("lsqb", '['),
    ("bsol", '\\'),
    ("rsqb", ']'),
    ("Hat", '^'),
    ("lowbar", '_'),
    ("grave", '`'),
    ("lcub", '{'),
    ("verbar", '|'),
    ("rcub", '}'),
    ("shy", '\u{ad}'),
];

/// The text with its escapes read; none if it has none. What stands for the end of a line becomes a space, so that
/// lines stay those of the text, and what cannot be seen is left out.
pub(crate) fn unescaped(text: &[u8]) -> Option<Vec<u8>> {
    #[cfg(test)]
    let plainly = crate::egress::plain::is_on();
    #[cfg(not(test))]
    let plainly = false;
    if !plainly && ![b'\\', b'&', b'+'].iter().any(|sign| text.contains(sign)) {
        return None;
    }
    let mut next = escape(text, 0)?;
    let mut plain = Vec::with_capacity(text.len());
    let mut from = 0;
    loop {
        let (at, c, length) = next;
        plain.extend_from_slice(&text[from..at]);
        from = at + length;
        let c = if c.is_whitespace() || c == '\0' { ' ' } else { c };
        if !is_invisible(c) {
            plain.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        match escape(text, from) {
            Some(another) => next = another,
            None => break,
        }
    }
    plain.extend_from_slice(&text[from..]);
    Some(plain)
}

/// The first escape at `begin` or behind it: where it stands, what it says, and how long it is.
fn escape(text: &[u8], begin: usize) -> Option<(usize, char, usize)> {
    let mut from = begin;
    loop {
        from += text[from..].iter().position(|byte| matches!(byte, b'\\' | b'&' | b'+'))?;
        let rest = &text[from..];
        let read = match rest[0] {
            b'&' => entity(rest).map(|(c, length)| (from, c, length)),
            b'+' => spelt_out(&text[begin..], from - begin).map(|(at, c, length)| (begin + at, c, length)),
            _ => behind_backslash(rest).map(|(c, length)| (from, c, length)),
        };
        if read.is_some() {
            return read;
        }
        from += 1;
    }
}

/// `[U+200B]`, as the notes of mails show what cannot be seen; with backslashes before the brackets, or without.
fn spelt_out(text: &[u8], plus: usize) -> Option<(usize, char, usize)> {
    let at = text[..plus].strip_suffix(b"[U")?.len();
    let (code, digits) = number(&text[plus + 1..], 16, DIGITS_MAX)?;
    let mut end = plus + 1 + digits;
    end += usize::from(text.get(end) == Some(&b'\\'));
    let at = at - usize::from(text[..at].ends_with(b"\\"));
    let c = char::from_u32(code).filter(|c| is_invisible(*c))?;
    (text.get(end) == Some(&b']')).then_some((at, c, end + 1 - at))
}

/// `\u0041`, `\"`, `\n`.
fn behind_backslash(text: &[u8]) -> Option<(char, usize)> {
    let slashes = text.iter().take(BACKSLASHES_MAX).take_while(|byte| **byte == b'\\').count();
    if text.get(slashes) == Some(&b'u')
        && let Some((code, 4)) = number(&text[slashes + 1..], 16, 4)
        && let Some(c) = char::from_u32(code)
    {
        return Some((c, slashes + 5));
    }
    match text.get(1)? {
        // Looked at from its `+`.
        b'[' if text[2..].starts_with(b"U+") => None,
        b'n' | b'r' | b't' => Some((' ', 2)),
        sign if sign.is_ascii_punctuation() => Some((char::from(*sign), 2)),
        _ => None,
    }
}

/// `&#65;`, `&#x41;`, `&lowbar;`.
fn entity(text: &[u8]) -> Option<(char, usize)> {
    if text.get(1) != Some(&b'#') {
        let named = |(name, _): &&(&str, char)| {
            text[1..].starts_with(name.as_bytes()) && text.get(1 + name.len()) == Some(&b';')
        };
        return NAMES.iter().find(named).map(|(name, c)| (*c, name.len() + 2));
    }
    let hex = matches!(text.get(2), Some(b'x' | b'X'));
    let begin = 2 + usize::from(hex);
    let (code, digits) = number(&text[begin..], if hex { 16 } else { 10 }, DIGITS_MAX)?;
    // Browsers read a number without its semicolon too.
    let end = begin + digits;
    Some((char::from_u32(code)?, end + usize::from(text.get(end) == Some(&b';'))))
}

/// The number that the text begins with, and how many digits it has, at most `most`.
fn number(text: &[u8], base: u32, most: usize) -> Option<(u32, usize)> {
    let digits = text.iter().take(most).map_while(|byte| char::from(*byte).to_digit(base));
    let (number, count) = digits
        .fold((0_u32, 0), |(number, count), digit| (number.saturating_mul(base).saturating_add(digit), count + 1));
    (count > 0).then_some((number, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_read_and_the_rest_stays() {
        let read = |text: &str| unescaped(text.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap());
        for (text, expected) in [
            (r"s\u0065c \\u00fc \\\\u0041", "sec \u{fc} A"),
            (r"a\_b\*c\\d \n \u12", r"a_b*c\d   \u12"),
            ("&#115;&#x65;&#0099 &amp;&lowbar;&quot", "sec &_&quot"),
            ("s&#8203;e&shy;c&#xAD;", "sec"),
            ("&#10;&#0;", "  "),
            (r"s\[U+200B\]e[U+00AD]c +[U+] [U+0041]\[", "sec +[U+] [U+0041]["),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
        for text in ["plain", "a & b", "?a=1&b=2", "C:\\users\\anna", "&#;", "&#xfffffff;", "\\", "&"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
