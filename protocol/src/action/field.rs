//! The rules of single values: the same for a draft that a person writes and for bytes that come back.

use super::spell;

/// What is wrong with one value, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) fix: String,
}

/// Checks one value.
pub(super) type Rule = fn(&str) -> Result<(), Fault>;

impl Fault {
    pub(super) fn new(message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { message: message.into(), fix: fix.into() }
    }
}

/// Longest address: 64 + 1 + 255 bytes of RFC 5321, and as much again for a name before it.
const ADDRESS_BYTES_MAX: usize = 640;
/// Longest name of something configured.
const NAME_BYTES_MAX: usize = 128;
/// Longest message id: the line limit of RFC 5322 less the field's name.
const MESSAGE_ID_BYTES_MAX: usize = 900;
/// Characters that an address list gives a meaning of their own.
const ADDRESS_SPECIALS: &[char] = &['(', ')', '<', '>', '[', ']', ':', ';', '@', '\\', ',', '"'];

/// Ends a line for some reader, or drives a terminal.
pub(super) fn is_control(c: char) -> bool {
    c.is_control() || c == '\u{2028}' || c == '\u{2029}'
}

/// One line, perhaps empty.
pub(super) fn any_line(text: &str) -> Result<(), Fault> {
    match text.chars().find(|c| is_control(*c)) {
        None => Ok(()),
        Some(c) => Err(Fault::new(
            format!("holds the control character {}", spell::line(&c.to_string())),
            "keep the value on one line, without control characters",
        )),
    }
}

/// One line with something on it.
pub(super) fn line(text: &str) -> Result<(), Fault> {
    if text.trim().is_empty() {
        return Err(Fault::new("is empty", "write a value"));
    }
    any_line(text)
}

/// The name of something configured or of a parameter: visible ASCII without spaces.
pub(super) fn name(text: &str) -> Result<(), Fault> {
    let fits = (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if fits {
        return Ok(());
    }
    Err(Fault::new(
        format!("`{}` is no name", spell::line(text)),
        format!("write a name of 1 to {NAME_BYTES_MAX} ASCII letters, digits and signs, without spaces"),
    ))
}

/// The address inside `Name <a@b.test>`, or the text itself.
pub fn address_of(recipient: &str) -> &str {
    split_address(recipient).1
}

/// The display name with its space (empty when there is none) and the address.
fn split_address(recipient: &str) -> (&str, &str) {
    recipient.strip_suffix('>').and_then(|rest| rest.split_once('<')).unwrap_or(("", recipient))
}

/// Whether a draft may name this as sender or recipient.
pub fn is_address(text: &str) -> bool {
    address(text).is_ok()
}

/// Whether it is an address alone, without a name before it.
pub fn is_bare_address(text: &str) -> bool {
    is_address(text) && address_of(text) == text && !text.contains(['*', '"'])
}

/// `a@b.test` or `Name <a@b.test>`: one `@`, and nothing that could start another address or header.
pub(super) fn address(text: &str) -> Result<(), Fault> {
    any_line(text)?;
    let fault = |what: &str| {
        let fix = "write one address, `a@b.test` or `Name <a@b.test>`; several as a list: [\"a@b.test\", \"c@d.test\"]";
        Fault::new(format!("`{}` is no mail address: {what}", spell::line(text)), fix)
    };
    if text.len() > ADDRESS_BYTES_MAX {
        return Err(fault("it is too long"));
    }
    if text.matches('@').count() != 1 {
        return Err(fault("it does not have exactly one `@`"));
    }
    let (display_name, address) = split_address(text);
    if display_name.contains(ADDRESS_SPECIALS) {
        return Err(fault("the name before it holds a sign with a meaning in address lists"));
    }
    let spaced = |name: &str| name.strip_suffix(' ').is_some_and(|name| !name.is_empty() && name.trim() == name);
    if !display_name.is_empty() && !spaced(display_name) {
        return Err(fault("the name before it is not set off by one space"));
    }
    let (local, domain) = address.split_once('@').unwrap_or_default();
    let local_sign = |c: char| c.is_alphanumeric() || (c.is_ascii_graphic() && !ADDRESS_SPECIALS.contains(&c));
    if !dotted(local, local_sign) {
        return Err(fault("the part before `@` is malformed"));
    }
    if !dotted(domain, |c| c.is_alphanumeric() || c == '-') {
        return Err(fault("the domain is malformed"));
    }
    Ok(())
}

fn dotted(text: &str, sign: impl Fn(char) -> bool) -> bool {
    text.split('.').all(|label| !label.is_empty() && label.chars().all(&sign))
}

/// A message id, with or without its angle brackets.
pub(super) fn message_id(text: &str) -> Result<(), Fault> {
    let bare = text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(text);
    let sign = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b',');
    if !bare.is_empty() && text.len() <= MESSAGE_ID_BYTES_MAX && bare.bytes().all(sign) {
        return Ok(());
    }
    Err(Fault::new(
        format!("`{}` is no message id", spell::line(text)),
        "write it as `<id@host>`, several as a list, or leave the key out",
    ))
}

/// `type/subtype`.
pub(super) fn media_type(text: &str) -> Result<(), Fault> {
    let sign = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-' | '_');
    let token = |part: &str| !part.is_empty() && part.chars().all(sign);
    match text.split_once('/') {
        Some((kind, subtype)) if token(kind) && token(subtype) => Ok(()),
        Some(_) | None => {
            Err(Fault::new(format!("`{}` is no media type", spell::line(text)), "attach a file of a common type"))
        }
    }
}

/// Text of any number of lines; the only control characters are line feed and tab.
pub(super) fn body(text: &str) -> Result<(), Fault> {
    match text.chars().find(|c| is_body_control(*c)) {
        None => Ok(()),
        Some(c) => Err(Fault::new(
            format!("the text holds the control character {}", spell::line(&c.to_string())),
            "remove it",
        )),
    }
}

/// A control character that a mail or a post cannot carry.
pub(super) fn is_body_control(c: char) -> bool {
    c.is_control() && c != '\n' && c != '\t'
}

/// A [`body`] with something in it.
pub(super) fn message(text: &str) -> Result<(), Fault> {
    if text.trim().is_empty() {
        return Err(Fault::new("the text is empty", "write the text below the front matter"));
    }
    body(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_cannot_smuggle_a_second_one() {
        for good in
            ["a@client.test", "Client A <a@client.test>", "Zoë <zoe.x+y@sub.client.test>", "<a@b>", "a@bücher.test"]
        {
            assert_eq!(address(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "a",
            "@",
            "a@",
            "@b",
            "a@b@c",
            "a@b, c@d",
            "a@b,c",
            "a@b\r\nBcc: c@d",
            "a@b\u{2028}",
            "boss@corp.test <x@evil.test>",
            "Doe, Jane <j@x.test>",
            "A<a@b.test>",
            "a b@c.test",
            "a@b c.test",
            "a..b@c.test",
            "a@.test",
            "a@b.test.",
            "<a@b.test",
            "a@b.test>",
            "\"a\"@b.test",
            "a@[127.0.0.1]",
            "A <<a@b.test>>",
            "a@b.test (x)",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
        assert_eq!(address_of("Client A <a@client.test>"), "a@client.test");
        assert_eq!(address_of("a@client.test"), "a@client.test");
    }

    #[test]
    fn message_ids_are_one_visible_word() {
        assert!(message_id("<a.b-1@mail.test>").is_ok() && message_id("a@mail.test").is_ok());
        for bad in ["", "<>", "a b", "<a>\r\nX: y", "<a> <b>", "<a>,<b>", "é@x"] {
            assert!(message_id(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bodies_hold_lines_and_tabs_only() {
        assert!(body("one\n\ttwo\u{202e} 🙂").is_ok());
        assert!(body("a\rb").is_err() && body("\u{7}").is_err() && body("\u{85}").is_err());
    }
}
