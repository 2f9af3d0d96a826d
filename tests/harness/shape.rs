//! Notes, logs and vaults as people have them: drawn from the shares that 1,325 files of eight public vaults had.

use std::collections::BTreeMap;

use crate::random::Rng;

/// The longest note there was.
pub const NOTE_BYTES_MAX: usize = 94 << 10;
const FOLDERS: [&str; 8] = [
    "Needs_Action/email",
    "Needs_Action/whatsapp",
    "Plans/social",
    "Plans/accounting",
    "Updates",
    "Signals",
    "Logs",
    "Pending_Approval/social",
];
const STATUSES: [&str; 6] = ["pending", "Pending", "DONE", "in progress", "\"approved\"", "waiting-for-reply"];
const TIMES: [&str; 3] = ["2026-01-07T10:30:00", "2026-01-07T10:30:00Z", "2026-01-07T10:30:00+05:00"];
const NAMES: [&str; 6] = [
    "EMAIL_18f2c",
    "WHATSAPP_\u{645}\u{62d}\u{645}\u{62f}_2026-01-07",
    "\u{1f4c5} Plan \u{2013} Q1",
    "\u{201c}Ideas\u{201d} \u{2019}26",
    "PLAN_r\u{e9}union_\u{e0}_faire",
    "FILE_invoice (1)",
];

/// Bytes of a note: median 951, p90 2.4 KB, a long tail.
fn size(rng: &mut Rng) -> usize {
    // Twelve uniform numbers make a good normal one.
    let normal: f64 = (0..12).map(|_| (rng.next() % 1_000_000) as f64 / 1_000_000.0).sum::<f64>() - 6.0;
    let size = (951.0_f64.ln() + 0.75 * normal).exp();
    (size as usize).min(NOTE_BYTES_MAX)
}

/// Front matter; one in seven is no valid YAML, some have a list, a key twice, or no end.
fn front_matter(rng: &mut Rng) -> String {
    let status = STATUSES[rng.below(STATUSES.len())];
    let time = TIMES[rng.below(TIMES.len())];
    let subject = if rng.chance(15) { "Re: [Client: A] invoice - \"urgent\": x" } else { "Invoice for January" };
    let more = match rng.below(30) {
        0..4 => "tags:\n  - mail\n  - \"a: b\"\n",
        4 => "# by hand\n",
        5 => "status: twice\n",
        _ => "",
    };
    let end = if rng.chance(2) { "" } else { "---\n\n" };
    format!("---\ntype: email\nsubject: {subject}\nreceived: {time}\nstatus: {status}\n{more}{end}")
}

/// A line of a note.
pub fn line(rng: &mut Rng) -> String {
    let line = match rng.below(60) {
        0..8 => "## Suggested actions\n\n",
        8..18 => "- [ ] Reply to the sender \u{2705}\n",
        18..28 => "> quoted \u{2014} \u{201c}words\u{201d}\n\n",
        28 => "---\n",
        29 => return format!("{}\n", "A line without an end, as programs write them. ".repeat(rng.below(200))),
        _ => "Some words that a person or a program wrote about what there is to do today.\n",
    };
    line.to_owned()
}

/// A note of a usual size.
pub fn note(rng: &mut Rng) -> Vec<u8> {
    let size = size(rng);
    note_of(rng, size)
}

/// A note of about this many bytes.
pub fn note_of(rng: &mut Rng, size: usize) -> Vec<u8> {
    let mut text = if rng.chance(1) { "# Heading first\n".to_owned() } else { String::new() };
    if rng.chance(90) {
        text.push_str(&front_matter(rng));
    }
    while text.len() < size {
        text.push_str(&line(rng));
    }
    match rng.below(100) {
        0..14 => text = text.replace('\n', "\r\n"),
        // Two programs, two kinds of line ends.
        14..17 => text = text.replacen('\n', "\r\n", 3),
        _ => {}
    }
    if rng.chance(12) {
        text.truncate(text.trim_end().len());
    }
    if rng.chance(3) {
        text.insert(0, '\u{feff}');
    }
    text.into_bytes()
}

/// The log of a day as one JSON array.
pub fn day_log(rng: &mut Rng, entries: usize) -> Vec<u8> {
    let line = |number: usize| {
        format!("  {{\"timestamp\": \"2026-01-07T10:30:00\", \"action_type\": \"email_send\", \"id\": {number}}}")
    };
    let lines: Vec<_> = (0..entries).map(line).collect();
    let end = if rng.chance(50) { "\n]" } else { "\n]\n" };
    format!("[\n{}{end}", lines.join(",\n")).into_bytes()
}

/// A vault of this many files, and the messages that came twice: 7 in 100.
pub fn vault(seed: u64, files: usize) -> BTreeMap<String, Vec<u8>> {
    let mut rng = Rng::new(seed);
    let mut vault = BTreeMap::new();
    for number in 0..files {
        let (path, bytes) = if number % 25 == 0 {
            (format!("Logs/2026-01-{:02}.json", number / 25 + 1), day_log(&mut rng, 30 + 60 * (number / 25)))
        } else {
            let name = NAMES[rng.below(NAMES.len())];
            let folder = FOLDERS[rng.below(FOLDERS.len())];
            (format!("{folder}/{name}_{number}.md"), note(&mut rng))
        };
        vault.insert(path, bytes);
    }
    let twins: Vec<_> = vault.iter().filter(|(path, _)| path.contains("EMAIL_")).take(files / 14).collect();
    let twins: Vec<_> = twins.into_iter().map(|(p, b)| (p.replace("EMAIL_", "EMAIL_again_"), b.clone())).collect();
    vault.extend(twins);
    vault
}
