//! What saves time hides nothing: both ways to look at a text find the same.

use super::{prose::Draws, *};
use crate::egress::plain;

fn same(text: &[u8]) {
    let (fast, plain) = (guard().hits(text), plain::plainly(|| guard().hits(text)));
    assert_eq!(fast, plain, "in {:?}", String::from_utf8_lossy(text));
}

fn examples() -> Vec<String> {
    rules::every().flat_map(|rule| rule.found).map(|example| expand(example)).collect()
}

#[test]
fn in_notes_of_every_kind() {
    for number in 0..400 {
        same(notes::note(number).as_bytes());
        same(prose::prose(number).as_bytes());
    }
}

#[test]
fn in_every_example_in_every_spelling() {
    for example in examples() {
        // Full width and UTF-16 are there for ASCII only.
        if example.chars().all(|c| c.is_ascii_graphic()) {
            for (_, spelt) in encodings::spellings(&example) {
                same(format!("It says {spelt} here.").as_bytes());
                same(spelt.as_bytes());
            }
        }
    }
}

#[test]
fn in_mixtures_of_all_that_is_looked_for() {
    const BETWEEN: [&str; 16] = [
        "",
        "",
        " ",
        "\n",
        "=\r\n",
        "=\n",
        "\u{200b}",
        "\u{ad}",
        "\0",
        "%",
        "-",
        ".",
        "_",
        "=",
        "\u{ff21}",
        "a b c d e",
    ];
    let mut parts = examples();
    parts.extend(["correct-horse-9", "planted-by-hand", "secret=", "sv=20", "<", "xxxx"].map(str::to_owned));
    let words = aiemp_keys::RecoveryWords::from_entropy([9; 32]).phrase().expose().clone();
    parts.push(words);
    let spelt: Vec<String> = encodings::spellings("correct-horse-9").into_iter().map(|(_, spelt)| spelt).collect();
    parts.extend(spelt);
    for seed in 0..1500 {
        let mut draws = Draws(seed);
        let mut text = Vec::new();
        for _ in 0..1 + draws.below(12) {
            let part = parts[draws.below(parts.len())].as_bytes();
            // A part may be cut anywhere, and be broken anywhere.
            let from = if draws.below(4) == 0 { draws.below(part.len()) } else { 0 };
            let cut = from + draws.below(part.len() - from + 1);
            text.extend_from_slice(&part[from..cut]);
            text.extend_from_slice(BETWEEN[draws.below(BETWEEN.len())].as_bytes());
            if draws.below(4) > 0 {
                text.extend_from_slice(&part[cut..]);
            }
            text.extend_from_slice(BETWEEN[draws.below(BETWEEN.len())].as_bytes());
        }
        same(&text);
    }
}
