//! Scalars of front matter: the one-line part of YAML 1.2 on which every reader agrees.
//!
//! Follows YAML 1.2.2, chapter 7 for the styles and section 10.3 for what a plain scalar means. Text on which readers
//! could differ is refused, never guessed.

use super::field::Fault;

/// One scalar as YAML reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scalar {
    pub(super) text: String,
    /// Written without quotes.
    pub(super) plain: bool,
}

/// The value of a key on its own line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Inline {
    Nothing,
    One(Scalar),
    Many(Vec<Scalar>),
}

/// Unquoted numbers longer than this lose digits in readers that keep them as floating point.
const PLAIN_DIGITS_MAX: usize = 15;
const QUOTE_IT: &str = "put the value in double quotes";

/// Reads what follows `key:`; spaces around it are already removed.
pub(super) fn inline(text: &str) -> Result<Inline, Fault> {
    match text.as_bytes().first() {
        None => Ok(Inline::Nothing),
        Some(b'[') => flow_list(text).map(Inline::Many),
        Some(_) => block(text).map(Inline::One),
    }
}

/// Reads a scalar that ends with its line.
pub(super) fn block(text: &str) -> Result<Scalar, Fault> {
    let (scalar, rest) = if text.starts_with(['"', '\'']) { quoted(text)? } else { (plain(text, false)?, "") };
    if rest.is_empty() {
        return Ok(scalar);
    }
    Err(Fault::new(
        "something follows the closing quote",
        "put the whole value in one pair of quotes, without a comment",
    ))
}

fn flow_list(text: &str) -> Result<Vec<Scalar>, Fault> {
    let fault = || Fault::new("the list is malformed", "write it on one line as [\"a\", \"b\"], without lists inside");
    let mut rest = text.strip_prefix('[').ok_or_else(fault)?.trim_start_matches(' ');
    let mut items = Vec::new();
    if rest == "]" {
        return Ok(items);
    }
    loop {
        let (item, after) = if rest.starts_with(['"', '\'']) {
            quoted(rest)?
        } else {
            let (item, after) = rest.split_at(rest.find([',', ']', '[', '{', '}']).ok_or_else(fault)?);
            (plain(item.trim_end_matches(' '), true)?, after)
        };
        items.push(item);
        let after = after.trim_start_matches(' ');
        if after == "]" {
            return Ok(items);
        }
        rest = after.strip_prefix(',').ok_or_else(fault)?.trim_start_matches(' ');
    }
}

fn plain(text: &str, in_list: bool) -> Result<Scalar, Fault> {
    let fault = |what: &str| Fault::new(format!("{what} means something else in YAML"), QUOTE_IT);
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (None, _) => return Err(Fault::new("an item is empty", "remove it, or write \"\" for an empty text")),
        (Some('|' | '>'), _) => {
            return Err(Fault::new("a value of several lines", "write the value on one line, in double quotes"));
        }
        (Some(c), _) if ",[]{}#&*!%@`\"'".contains(c) => return Err(fault(&format!("a value that starts with `{c}`"))),
        (Some(c @ ('-' | '?' | ':')), None | Some(' ')) => {
            return Err(fault(&format!("a value that starts with `{c} `")));
        }
        (Some(_), _) => {}
    }
    if text.contains(": ") || text.ends_with(':') {
        return Err(fault("a colon before a space"));
    }
    if text.contains(" #") {
        return Err(fault("` #`"));
    }
    if in_list && text.starts_with(['-', '?', ':']) {
        return Err(fault("an item that starts with `-`, `?` or `:`"));
    }
    Ok(Scalar { text: text.to_owned(), plain: true })
}

/// Reads a quoted scalar; gives it and what follows the closing quote.
fn quoted(text: &str) -> Result<(Scalar, &str), Fault> {
    let quote = if text.starts_with('\'') { '\'' } else { '"' };
    let mut value = String::with_capacity(text.len());
    let mut rest = text.get(1..).unwrap_or_default();
    loop {
        let mut chars = rest.chars();
        let Some(c) = chars.next() else {
            return Err(Fault::new("the closing quote is missing", "end the value with its quote on the same line"));
        };
        rest = chars.as_str();
        if c == quote && quote == '\'' && rest.starts_with('\'') {
            value.push('\'');
            rest = chars.as_str().get(1..).unwrap_or_default();
        } else if c == quote {
            return Ok((Scalar { text: value, plain: false }, rest));
        } else if c == '\\' && quote == '"' {
            let (escaped, after) = escape(rest)?;
            value.push(escaped);
            rest = after;
        } else {
            value.push(c);
        }
    }
}

/// Reads the escape after a backslash: those that JSON and YAML share.
fn escape(text: &str) -> Result<(char, &str), Fault> {
    let fault = || {
        Fault::new(
            "an escape that readers do not agree on",
            r#"use only \" \\ \/ \b \f \n \r \t and \uXXXX for one character; write others as they are"#,
        )
    };
    let mut chars = text.chars();
    let escaped = match chars.next().ok_or_else(fault)? {
        c @ ('"' | '\\' | '/') => c,
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => {
            let digits = chars.as_str().get(..4).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
            let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).ok_or_else(fault)?;
            let after = chars.as_str().get(4..).unwrap_or_default();
            return Ok((char::from_u32(code).ok_or_else(fault)?, after));
        }
        _ => return Err(fault()),
    };
    Ok((escaped, chars.as_str()))
}

impl Scalar {
    /// The text, unless YAML reads the plain scalar as something whose text may differ.
    pub(super) fn as_text(&self) -> Result<&str, Fault> {
        let fault = |what: &str| Fault::new(format!("YAML reads `{}` as {what}", self.text), QUOTE_IT);
        if !self.plain {
            return Ok(&self.text);
        }
        match self.text.as_str() {
            "~" | "null" | "Null" | "NULL" => Err(fault("nothing")),
            "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => Err(fault("a truth value")),
            text if is_canonical_integer(text) => Ok(text),
            text if is_number(text) => Err(fault("a number, which it may write in another way")),
            text => Ok(text),
        }
    }

    /// The text of a number, with quotes or without.
    pub(super) fn as_number(&self) -> Result<&str, Fault> {
        if self.plain && self.text.bytes().filter(u8::is_ascii_digit).count() > PLAIN_DIGITS_MAX {
            return Err(Fault::new("a number this long loses digits in YAML readers", QUOTE_IT));
        }
        Ok(&self.text)
    }
}

/// Digits that every reader gives back as they are.
fn is_canonical_integer(text: &str) -> bool {
    (1..=PLAIN_DIGITS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text.len() == 1 || !text.starts_with('0'))
}

/// The integers and floating point numbers of YAML's core schema.
fn is_number(text: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(hex) = text.strip_prefix("0x") {
        return !hex.is_empty() && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return !octal.is_empty() && octal.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.strip_prefix(['-', '+']).unwrap_or(exponent)),
        None => (unsigned, "0"),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    !exponent.is_empty()
        && digits(exponent)
        && digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Option<String> {
        match inline(text) {
            Ok(Inline::One(scalar)) => Some(scalar.text),
            Ok(Inline::Nothing | Inline::Many(_)) | Err(_) => None,
        }
    }

    fn many(text: &str) -> Option<Vec<String>> {
        match inline(text) {
            Ok(Inline::Many(items)) => Some(items.into_iter().map(|item| item.text).collect()),
            Ok(Inline::Nothing | Inline::One(_)) | Err(_) => None,
        }
    }

    #[test]
    fn scalars_read_as_yaml_reads_them() {
        for (text, value) in [
            ("January 2026 Invoice - $1,500", "January 2026 Invoice - $1,500"),
            ("a:b -c #d".split_once(" #").map_or("", |(plain, _)| plain), "a:b -c"),
            ("-5 degrees", "-5 degrees"),
            ("x]y{z", "x]y{z"),
            ("<id@host>", "<id@host>"),
            ("'it''s: #1'", "it's: #1"),
            (r#""a\"b\\c\/d\u00e9 \n""#, "a\"b\\c/dé \n"),
            ("''", ""),
        ] {
            assert_eq!(one(text).as_deref(), Some(value), "{text}");
        }
        assert_eq!(many("[]"), Some(vec![]));
        assert_eq!(many("[ a@b.test , \"x, y\",'z' ]"), Some(vec!["a@b.test".into(), "x, y".into(), "z".into()]));
    }

    #[test]
    fn what_readers_take_differently_is_refused() {
        for text in [
            "Re: hello",
            "a #b",
            "hello:",
            "- item",
            "-",
            "? x",
            ": x",
            "|",
            ">-",
            "&a x",
            "*a",
            "!!str x",
            "%x",
            "@x",
            "`x`",
            "{a: b}",
            "#x",
            ",x",
            "]x",
            "}x",
            "'open",
            "\"open",
            "\"a\" b",
            "'a' # c",
            r#""\x41""#,
            r#""\ud83d\ude00""#,
            r#""\u12""#,
            r#""\"#,
            "[a",
            "[a]b",
            "[a, [b]]",
            "[a,]",
            "[,a]",
            "[a: b]",
            "[a:]",
            "[\"a\" b]",
            "[{a}]",
            "[-]",
            "[[x.pdf]]",
            "[a, b] # c",
            "[\"a\": 1]",
        ] {
            assert!(inline(text).is_err(), "{text}");
        }
    }

    #[test]
    fn plain_values_of_another_type_are_no_text() {
        let plain = |text: &str| Scalar { text: text.to_owned(), plain: true };
        for text in [
            "~",
            "null",
            "TRUE",
            "false",
            "007",
            "+49",
            "-5",
            "1.0",
            "1e3",
            ".5",
            "5.",
            "0x1F",
            "0o17",
            ".inf",
            "-.INF",
            ".nan",
            "1234567890123456",
        ] {
            assert!(plain(text).as_text().is_err(), "{text}");
            assert_eq!(Scalar { text: text.to_owned(), plain: false }.as_text(), Ok(text));
        }
        for text in [
            "0",
            "2026",
            "123456789012345",
            "yes",
            "nullable",
            "1.2.3",
            "e3",
            ".",
            "+",
            "0x",
            "1e",
            "2026-01-07",
            "12:30",
        ] {
            assert_eq!(plain(text).as_text(), Ok(text));
        }
        assert!(plain("1234567890123456.00").as_number().is_err());
        assert_eq!(plain("500.00").as_number(), Ok("500.00"));
    }
}
