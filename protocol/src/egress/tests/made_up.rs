//! Made-up values: no literal in the tree has the shape of a credential.

use crate::egress::gate;

const MIXED: &[u8] = b"N0tARealKey7MadeUpF0rTests3ZqXw5BvGhJ2cYd8kLs";

/// Writes out a template: `{A20}` stands for 20 letters and digits, and likewise `h` and `H` for hexadecimal digits,
/// `U` and `l` for digits with capital and small letters, `T` for base32, `d` for digits, `w` for the characters of
/// addresses, `b` for base64, `{c}` for 30 with their checksum, `{u}` for a UUID, `{j}` for a token's header.
pub(super) fn expand(template: &str) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        text.push_str(&rest[..open]);
        let tail = &rest[open + 1..];
        let made = tail.find('}').filter(|close| *close < 6).and_then(|close| Some((made_up(&tail[..close])?, close)));
        match made {
            Some((made, close)) => {
                text.push_str(&made);
                rest = &tail[close + 1..];
            }
            None => {
                text.push('{');
                rest = tail;
            }
        }
    }
    text + rest
}

fn made_up(code: &str) -> Option<String> {
    let (class, count) = code.split_at_checked(1)?;
    let count = count.parse().unwrap_or(0_usize);
    Some(match class {
        "A" => cycle(MIXED, count),
        "w" => cycle(b"N0t-A_RealKey7MadeUp-F0rTests3ZqXw_5BvGhJ2cYd8kLs", count),
        "b" => cycle(b"N0t+A/RealKey7MadeUpF0rTests3ZqXw5/BvGhJ2cYd+8kLs", count),
        "h" => cycle(b"5eed0fade7c2b194a8d36b0cafe19e72d4", count),
        "H" => cycle(b"5EED0FADE7C2B194A8D36B0CAFE19E72D4", count),
        "U" => cycle(b"N0TAREALKEY7MADEUPF0RTESTS3ZQXW5BVGHJ2", count),
        "l" => cycle(b"n0tarealkey7madeupf0rtests3zqxw5bvghj2", count),
        "T" => cycle(b"NOTAREALKEY7MADEUPFORTESTS3ZQXW5BVGHJ2", count),
        "d" => cycle(b"7204918365", count),
        "c" => {
            let random = cycle(MIXED, 30);
            let checksum = gate::checksum_62(random.as_bytes());
            random + std::str::from_utf8(&checksum).ok()?
        }
        "u" => [8, 4, 4, 4, 12].map(|count| cycle(b"5eed0fade7c2b194", count)).join("-"),
        "j" => data_encoding::BASE64URL_NOPAD.encode(br#"{"alg":"HS256","typ":"JWT"}"#),
        _ => return None,
    })
}

fn cycle(from: &[u8], count: usize) -> String {
    from.iter().cycle().take(count).map(|byte| char::from(*byte)).collect()
}
