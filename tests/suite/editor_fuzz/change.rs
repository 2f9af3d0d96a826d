//! One edit of a text.

use aiemp_tests::random::Rng;

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
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    let fence = lines.iter().skip(1).position(|line| line == "---\n").map(|at| at + 1);
    let fence = fence.filter(|_| lines.first().is_some_and(|line| line == "---\n"));
    let body = fence.map_or(0, |at| at + 1);
    let at = body + rng.below(lines.len() + 1 - body);
    match (rng.below(10), fence) {
        (0 | 1, Some(fence)) => {
            let line = format!("{}: {word}\n", FIELDS[rng.below(FIELDS.len())]);
            let key = line.split(':').next();
            match lines[..fence].iter().position(|line| line.split(':').next() == key) {
                Some(at) => lines[at] = line,
                None => lines.insert(fence, line),
            }
        }
        (2 | 3, _) if at < lines.len() => lines[at] = format!("{word} instead\n"),
        (4, _) if at < lines.len() => {
            let cut = lines[at].find(' ').map_or(0, |space| space + 1);
            lines[at].insert_str(cut, &format!("{word} "));
        }
        (5, _) if at < lines.len() => {
            lines.remove(at);
            lines.insert(body.min(lines.len()), format!("{word}\n"));
        }
        // The last line may have no end.
        (6, _) => lines.push(format!("\n{word}")),
        _ => lines.insert(at, format!("{word} here\n")),
    }
    lines.concat()
}
