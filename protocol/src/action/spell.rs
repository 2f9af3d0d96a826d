//! Spells text for the eye: what cannot be seen or passes for something else is written out as `[U+202E …]`.
//!
//! Spelling loses nothing: different texts are spelt differently. What it writes itself (`[U+`, `\t`, the notes of the
//! renderer) is broken by `[U+…]` where it stands in the text.

use super::unicode;

/// How much of a text may show as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Lines for people: letters of every script show, unless they pass for others.
    Text,
    /// Names that machines act upon: only ASCII shows.
    Identifier,
}

/// Shown after a recipient that no mail was approved to before.
pub(super) const FIRST_TIME: &str = "(first time)";
/// Shown after an address whose domain shows other letters than it has.
pub(super) const FOREIGN_DOMAIN: &str = "(international domain name)";
/// Shown after the vault path of a file that only Local nodes may read.
pub(super) const PRIVATE: &str = "(private)";
/// Shown instead of a text without characters.
pub(super) const EMPTY: &str = "(empty)";

const RESERVED: [&str; 7] = ["[U+", "[byte ", "\\t", FIRST_TIME, FOREIGN_DOMAIN, PRIVATE, EMPTY];

/// One line of text as pieces that must not be torn apart; leading and trailing spaces are spelt.
pub(super) fn pieces(text: &str, manner: Manner) -> Vec<String> {
    let from = text.len() - text.trim_start_matches(' ').len();
    spell(text, manner, from)
}

/// As [`pieces`], but leading spaces show: for text that stands behind a margin.
pub(super) fn indented_pieces(text: &str) -> Vec<String> {
    spell(text, Manner::Text, 0)
}

/// One line of text, for messages and summaries.
pub(super) fn line(text: &str) -> String {
    pieces(text, Manner::Text).concat()
}

/// Spells all spaces before byte `from` and after the last visible character.
fn spell(text: &str, manner: Manner, from: usize) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let look_alikes = unicode::look_alikes(&chars);
    let until = text.trim_end_matches(' ').len();
    text.char_indices()
        .zip(look_alikes)
        .map(|((at, c), is_look_alike)| match c {
            '\t' => "\\t".to_owned(),
            ' ' if at < from || at >= until => written_out(c),
            _ if is_look_alike || unicode::is_hidden(c) => written_out(c),
            _ if manner == Manner::Identifier && !c.is_ascii() => written_out(c),
            '[' | '(' | '\\' if RESERVED.iter().any(|reserved| text[at..].starts_with(reserved)) => bare(c),
            _ => c.to_string(),
        })
        .collect()
}

fn written_out(c: char) -> String {
    match unicode::name(c) {
        None => bare(c),
        Some(name) => format!("[U+{:04X} {name}]", u32::from(c)),
    }
}

fn bare(c: char) -> String {
    format!("[U+{:04X}]", u32::from(c))
}

/// A byte that is no part of any character.
pub(super) fn byte(byte: u8) -> String {
    format!("[byte {byte:02X}]")
}

/// Reads spelt text back; shows that spelling loses nothing.
#[cfg(test)]
pub(super) fn unspell(spelt: &str) -> String {
    let mut text = String::new();
    let mut rest = spelt;
    while let Some(c) = rest.chars().next() {
        if let Some(code) = rest.strip_prefix("[U+") {
            let (inside, after) = code.split_once(']').expect("a closed bracket");
            let digits = inside.split(' ').next().expect("digits");
            text.push(char::from_u32(u32::from_str_radix(digits, 16).expect("hex")).expect("a character"));
            rest = after;
        } else if let Some(after) = rest.strip_prefix("\\t") {
            text.push('\t');
            rest = after;
        } else {
            text.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn identifier(text: &str) -> String {
        pieces(text, Manner::Identifier).concat()
    }

    #[test]
    fn ordinary_text_shows_as_it_is() {
        for text in [
            "January 2026 Invoice - $1,500 (net) [draft]",
            "Grüße aus Köln, à bientôt, naïve – “quotes” … 20 m² ½ ™",
            "Привет, John! Το e-mail",
            "请查收，谢谢！ 2026年1月",
            "שלום العربية हिन्दी ไทย 한국어",
            "🙂 👍🏽",
            "C:\\Users",
        ] {
            assert_eq!(line(text), text);
        }
    }

    #[test]
    fn what_cannot_be_seen_is_spelt() {
        for (text, spelt) in [
            ("a\u{202e}b", "a[U+202E RIGHT-TO-LEFT OVERRIDE]b"),
            ("a\u{200b}b", "a[U+200B ZERO WIDTH SPACE]b"),
            ("a\tb\\tc", "a\\tb[U+005C]tc"),
            ("a\u{1b}[2K", "a[U+001B ESCAPE][2K"),
            ("  a  b  ", "[U+0020 SPACE][U+0020 SPACE]a  b[U+0020 SPACE][U+0020 SPACE]"),
            ("a\u{a0}b\u{e0041}", "a[U+00A0 NO-BREAK SPACE]b[U+E0041]"),
            ("e\u{301} \u{212b}", "e[U+0301] [U+212B]"),
            ("[U+202E] (first time)", "[U+005B]U+202E] [U+0028]first time)"),
            ("x\n--", "x[U+000A LINE FEED]--"),
            ("a\u{306}\u{301}\u{307}\u{308}", "a[U+0306][U+0301][U+0307][U+0308]"),
        ] {
            assert_eq!(line(text), spelt);
        }
    }

    #[test]
    fn look_alikes_are_spelt() {
        for (text, spelt) in [
            ("p\u{430}ypal", "p[U+0430 CYRILLIC]ypal"),
            ("\u{397}ello", "[U+0397 GREEK]ello"),
            (
                "https://\u{430}\u{440}\u{440}.com/x",
                "https://[U+0430 CYRILLIC][U+0440 CYRILLIC][U+0440 CYRILLIC].com/x",
            ),
            ("\u{ff41}dmin \u{1d41a}", "[U+FF41]dmin [U+1D41A]"),
            ("evil\u{2215}path", "evil[U+2215]path"),
        ] {
            assert_eq!(line(text), spelt);
        }
        assert_eq!(identifier("a@bücher.test"), "a@b[U+00FC]cher.test");
        assert_eq!(identifier("DE89 3704 \u{41e}044"), "DE89 3704 [U+041E CYRILLIC]044");
    }

    proptest! {
        #[test]
        fn spelling_loses_nothing(
            text in r"(\PC|[\[\]()\\tU+ 0-9A-F]|\p{Cf}|\p{Cyrillic}|\p{M}|\p{Cc}|\(first time\)){0,40}",
        ) {
            prop_assert_eq!(unspell(&line(&text)), text.clone());
            prop_assert_eq!(unspell(&identifier(&text)), text.clone());
            prop_assert_eq!(unspell(&indented_pieces(&text).concat()), text);
        }

        #[test]
        fn nothing_hidden_is_left(text in any::<String>()) {
            prop_assert!(!line(&text).chars().any(unicode::is_hidden));
            prop_assert!(identifier(&text).is_ascii());
        }
    }
}
