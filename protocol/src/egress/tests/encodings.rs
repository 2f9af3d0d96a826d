//! Secrets in other spellings.

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};

use super::*;

const SECRET: &str = "correct-horse-9";

fn every_other(text: &str, between: &str) -> String {
    text.chars().map(String::from).collect::<Vec<_>>().join(between)
}

fn wrapped(text: &str, width: usize, line_end: &str) -> String {
    text.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap()).collect::<Vec<_>>().join(line_end)
}

fn escaped(text: &str, escape: impl Fn(char) -> String) -> String {
    text.chars().map(escape).collect()
}

fn full_width(text: &str) -> String {
    text.chars().map(|c| char::from_u32(u32::from(c) + 0xfee0).unwrap()).collect()
}

fn utf_16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// Each spelling with its name.
pub(super) fn spellings(secret: &str) -> Vec<(&'static str, String)> {
    let long = format!("The first lines say nothing at all, and then comes it: {secret}, and some more after it.");
    let colons: Vec<String> = secret.bytes().map(|byte| HEXUPPER.encode(&[byte])).collect();
    let percent: String = secret.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let half: String = secret
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.into() } else { format!("%{:02x}", u32::from(c)) })
        .collect();
    vec![
        ("plain", secret.to_owned()),
        ("base64", BASE64.encode(secret.as_bytes())),
        ("base64 shifted by one", BASE64.encode(format!("={secret}").as_bytes())),
        ("base64 shifted by two", BASE64.encode(format!("=({secret})").as_bytes())),
        ("base64 behind letters", format!("ab/{}", BASE64.encode(secret.as_bytes()))),
        ("base64 for addresses, unpadded", BASE64URL_NOPAD.encode(format!("??>{secret}").as_bytes())),
        ("base64 in lines", wrapped(&BASE64.encode(long.as_bytes()), 64, "\n")),
        ("base64 in quoted lines", wrapped(&BASE64.encode(long.as_bytes()), 20, "\r\n> ")),
        ("base64 of UTF-16", BASE64.encode(&utf_16(secret))),
        ("hex", HEXLOWER.encode(secret.as_bytes())),
        ("hex in capitals with colons", colons.join(":")),
        ("hex with spaces", colons.join(" ")),
        ("hex as in code", format!("[0x{}]", colons.join(", 0x"))),
        ("hex escapes", format!("\\x{}", colons.join("\\x"))),
        ("zero-width spaces", every_other(secret, "\u{200b}")),
        ("soft hyphens", every_other(secret, "\u{ad}")),
        ("two lines", format!("{}\n{}", &secret[..7], &secret[7..])),
        ("spaces", every_other(secret, " ")),
        ("quoted-printable", format!("{}=\r\n{}", &secret[..7], &secret[7..])),
        ("percent", percent),
        ("percent where it must", half),
        ("JSON escapes", escaped(secret, |c| format!("\\u{:04x}", u32::from(c)))),
        ("JSON escapes in JSON", escaped(secret, |c| format!("\\\\u{:04X}", u32::from(c)))),
        ("Markdown escapes", escaped(secret, |c| if c == '-' { "\\-".to_owned() } else { c.to_string() })),
        ("zero-width spaces as mail notes show them", every_other(secret, "\\[U+200B\\]")),
        ("HTML entities", escaped(secret, |c| format!("&#{};", u32::from(c)))),
        ("HTML entities in hex", escaped(secret, |c| format!("&#x{:X};", u32::from(c)))),
        ("full width", full_width(secret)),
        ("UTF-16", String::from_utf8(utf_16(secret)).unwrap()),
        (
            "UTF-16, the other order",
            String::from_utf8(secret.encode_utf16().flat_map(u16::to_be_bytes).collect()).unwrap(),
        ),
    ]
}

#[test]
fn a_known_secret_is_found_in_every_spelling() {
    for (name, spelt) in spellings(SECRET) {
        assert!(kinds(&format!("A note.\n\nIt says {spelt} here.\n")).contains("smtp"), "{name}: {spelt}");
        assert!(kinds(&spelt).contains("smtp"), "{name} alone: {spelt}");
    }
}

#[test]
fn a_credential_of_a_provider_is_found_in_every_spelling() {
    let mut missed = Vec::new();
    for (secret, kind) in [(expand("glpat-{w20}"), "gitlab-token"), (expand("ghp_{c}"), "github-token")] {
        for (name, spelt) in spellings(&secret) {
            if !kinds(&format!("A note.\n\nIt says {spelt} here.\n")).contains(kind) {
                missed.push(format!("{kind} {name}: {spelt}"));
            }
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn a_secret_with_spaces_and_other_letters_is_found() {
    let secret = "sch\u{f6}ne Gr\u{fc}\u{df}e 77";
    for spelt in
        [secret.to_owned(), secret.replace(' ', "\n"), secret.replace(' ', ""), BASE64.encode(secret.as_bytes())]
            .into_iter()
            .chain([escaped(secret, |c| if c.is_ascii() { c.to_string() } else { format!("\\u{:04x}", u32::from(c)) })])
    {
        assert!(kinds(&spelt).contains("wlan"), "{spelt}");
    }
}

#[test]
fn lines_are_those_of_the_text_in_every_view() {
    for (name, spelt) in spellings(SECRET) {
        if name.starts_with("UTF-16") {
            continue;
        }
        let text = format!("one\ntwo \u{fc}\n\n   {spelt}\nfive\n");
        let lines: BTreeSet<usize> = guard().hits(text.as_bytes()).into_iter().map(|hit| hit.line).collect();
        assert_eq!(lines, BTreeSet::from([4]), "{name}");
    }
}
