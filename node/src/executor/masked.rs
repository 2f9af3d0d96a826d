//! What services say back, without the credentials that they got.

use aiemp_keys::Secret;
use data_encoding::BASE64;

/// Without the credentials, in the spellings that services send back.
pub(super) fn masked<'s>(secrets: impl IntoIterator<Item = &'s Secret<String>>, text: &str) -> String {
    let mut text = text.to_owned();
    for secret in secrets.into_iter().map(Secret::expose).filter(|secret| !secret.is_empty()) {
        let json = serde_json::to_string(secret).unwrap_or_default();
        let spellings =
            [secret.clone(), json.trim_matches('"').to_owned(), percent(secret), BASE64.encode(secret.as_bytes())];
        for spelling in spellings.iter().map(|spelling| spelling.trim_end_matches('=')) {
            text = text.replace(spelling, "***");
        }
    }
    text
}

pub(super) fn percent(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let encode = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(encode).collect()
}
