//! Transfer encodings and charsets, decoded leniently: a damaged mail yields what there is.

use mail_parser::decoders::charsets::map::charset_decoder;

/// Undoes a `Content-Transfer-Encoding`; an unknown one is taken as none.
pub(super) fn transfer_decoded(encoding: &str, body: &[u8]) -> Vec<u8> {
    match encoding.trim().to_ascii_lowercase().as_str() {
        "base64" => base64(body),
        "quoted-printable" => quoted_printable(body),
        _ => body.to_vec(),
    }
}

/// Decodes text; bytes that fit no declared charset are read as UTF-8 with replacement characters.
pub(super) fn text_decoded(charset: Option<&str>, bytes: &[u8]) -> String {
    charset
        .and_then(|charset| charset_decoder(charset.as_bytes()))
        .map_or_else(|| String::from_utf8_lossy(bytes).into_owned(), |decode| decode(bytes))
        .replace("\r\n", "\n")
        .replace('\r', "\n")
}

fn base64(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0u32);
    for byte in body {
        let sextet = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            b'=' => {
                // Padding ends a block; some mailers join several.
                count = 0;
                continue;
            }
            _ => continue,
        };
        bits = (bits << 6 | u32::from(sextet)) & 0x00ff_ffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    out
}

fn quoted_printable(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let content = line.trim_ascii_end();
        let soft_break = content.last() == Some(&b'=');
        let mut rest = &content[..content.len() - usize::from(soft_break)];
        while let Some((&byte, after)) = rest.split_first() {
            let escaped = (byte == b'=').then(|| after.split_at_checked(2)).flatten();
            match escaped.and_then(|(hex, after)| Some((hex_value(hex)?, after))) {
                Some((value, after)) => {
                    out.push(value);
                    rest = after;
                }
                None => {
                    out.push(byte);
                    rest = after;
                }
            }
        }
        if !soft_break {
            let end = if line.ends_with(b"\r\n") { 2 } else { usize::from(line.ends_with(b"\n")) };
            out.extend_from_slice(&line[line.len() - end..]);
        }
    }
    out
}

fn hex_value(hex: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(hex[0])? << 4 | digit(hex[1])?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_undone() {
        assert_eq!(transfer_decoded("BASE64", b"SGVs\r\nbG8="), b"Hello");
        assert_eq!(transfer_decoded("quoted-printable", b"a=3Db=\r\nc \t\r\n=C3=A9"), b"a=bc\r\n\xc3\xa9");
        assert_eq!(transfer_decoded("x-unknown", b"a=3D"), b"a=3D");
    }

    #[test]
    fn damaged_encodings_yield_what_there_is() {
        assert_eq!(transfer_decoded("base64", b"SGVsbG8gd"), b"Hello ");
        assert_eq!(transfer_decoded("base64", b"\xffSGVs!!bG8==SGk="), b"HelloHi");
        assert_eq!(transfer_decoded("quoted-printable", b"=\xc3=4=ZZ="), b"=\xc3=4=ZZ");
    }

    #[test]
    fn charsets_are_decoded_or_replaced() {
        assert_eq!(text_decoded(Some("iso-8859-1"), b"caf\xe9\r\n"), "caf\u{e9}\n");
        assert_eq!(text_decoded(Some("koi8-r"), b"\xf0"), "\u{41f}");
        assert_eq!(text_decoded(Some("no-such"), b"caf\xe9"), "caf\u{fffd}");
        assert_eq!(text_decoded(None, "\u{e9}".as_bytes()), "\u{e9}");
    }
}
