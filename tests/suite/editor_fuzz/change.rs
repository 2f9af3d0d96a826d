//! One edit of a text.

use aiemp_tests::{lines::Lines, random::Rng};

/// Texts longer than this are tidied now and then.
const LINES_MAX: usize = 40;
const FIELDS: [&str; 2] = ["status", "noted"];

/// What was read, with one edit that brings `word` in. The first edit of nothing makes a note.
pub(super) fn changed(rng: &mut Rng, path: &str, read: &[u8], word: &str) -> Vec<u8> {
    if path.ends_with(".bin") {
        // No text: each save is another content.
        return [b"\0\x9f\x92 ", word.as_bytes()].concat();
    }
    let Ok(text) = std::str::from_utf8(read) else { return format!("{word}\n").into_bytes() };
    if text.is_empty() {
        let front_matter = if rng.chance(50) { "---\ntype: note\nstatus: open\n---\n" } else { "" };
        return format!("{front_matter}# Note {word}\n\nFirst line.\nSecond line.\n").into_bytes();
    }
    let text = if text.lines().count() > LINES_MAX && rng.chance(30) { tidied(text) } else { text.to_owned() };
    edited(rng, &text, word).into_bytes()
}

/// The text without most of its lines.
fn tidied(text: &str) -> String {
    text.split_inclusive('\n').take(10).collect()
}

fn edited(rng: &mut Rng, text: &str, word: &str) -> String {
    let mut note = Lines::of(text);
    let at = note.body + rng.below(note.lines.len() + 1 - note.body);
    match (rng.below(10), note.fence) {
        (0 | 1, Some(fence)) => note.set_field(fence, FIELDS[rng.below(FIELDS.len())], word),
        (2 | 3, _) if at < note.lines.len() => note.lines[at] = format!("{word} instead\n"),
        (4, _) if at < note.lines.len() => {
            let line = &mut note.lines[at];
            let cut = line.find(' ').map_or(0, |space| space + 1);
            line.insert_str(cut, &format!("{word} "));
        }
        (5, _) if at < note.lines.len() => note.move_to_top(at, word),
        // The last line may have no end.
        (6, _) => note.lines.push(format!("\n{word}")),
        _ => note.lines.insert(at, format!("{word} here\n")),
    }
    note.lines.concat()
}
