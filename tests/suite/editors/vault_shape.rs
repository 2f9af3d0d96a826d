//! A vault with the shape of real ones, dropped into a running pair.

use std::collections::BTreeMap;

use crate::node::Pair;

const FILES: usize = 200;

/// Numbers from a fixed seed: the same vault each time.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("below a usize")
    }

    fn percent(&mut self, share: usize) -> bool {
        self.below(100) < share
    }

    /// Bytes of a note: median 951, p90 2.4 KB, the longest tail at 94 KB.
    fn size(&mut self) -> usize {
        // Twelve uniform numbers make a good normal one.
        let normal: f64 = (0..12).map(|_| (self.next() % 1_000_000) as f64 / 1_000_000.0).sum::<f64>() - 6.0;
        let size = (951.0_f64.ln() + 0.75 * normal).exp();
        (size as usize).min(94 << 10)
    }
}

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

fn front_matter(dice: &mut Dice) -> String {
    let status = STATUSES[dice.below(STATUSES.len())];
    let time = TIMES[dice.below(TIMES.len())];
    let subject = if dice.percent(15) { "Re: [Client: A] invoice - \"urgent\": x" } else { "Invoice for January" };
    format!("---\ntype: email\nsubject: {subject}\nreceived: {time}\nstatus: {status}\n---\n\n")
}

fn note(dice: &mut Dice) -> Vec<u8> {
    let size = dice.size();
    let mut text = if dice.percent(1) { "# Heading first\n".to_owned() } else { String::new() };
    text.push_str(&front_matter(dice));
    while text.len() < size {
        match dice.below(6) {
            0 => text.push_str("## Suggested actions\n\n"),
            1 => text.push_str("- [ ] Reply to the sender \u{2705}\n"),
            2 => text.push_str("> quoted \u{2014} \u{201c}words\u{201d}\n\n"),
            _ => text.push_str("Some words that a person or a program wrote about what there is to do today.\n"),
        }
    }
    if dice.percent(14) {
        text = text.replace('\n', "\r\n");
    }
    text.into_bytes()
}

fn day_log(dice: &mut Dice, entries: usize) -> Vec<u8> {
    let line = |number: usize| {
        format!("  {{\"timestamp\": \"2026-01-07T10:30:00\", \"action_type\": \"email_send\", \"id\": {number}}}")
    };
    let lines: Vec<_> = (0..entries).map(line).collect();
    let end = if dice.percent(50) { "\n]" } else { "\n]\n" };
    format!("[\n{}{end}", lines.join(",\n")).into_bytes()
}

fn vault() -> BTreeMap<String, Vec<u8>> {
    let mut dice = Dice(0x5eed_2026);
    let mut files = BTreeMap::new();
    for number in 0..FILES {
        let (path, bytes) = if number % 25 == 0 {
            (format!("Logs/2026-01-{:02}.json", number / 25 + 1), day_log(&mut dice, 30 + 60 * (number / 25)))
        } else {
            let name = NAMES[dice.below(NAMES.len())];
            let folder = FOLDERS[dice.below(FOLDERS.len())];
            (format!("{folder}/{name}_{number}.md"), note(&mut dice))
        };
        files.insert(path, bytes);
    }
    // 7 in 100 messages come twice.
    let twins: Vec<_> = files.iter().filter(|(path, _)| path.contains("EMAIL_")).take(FILES / 14).collect();
    let twins: Vec<_> = twins.into_iter().map(|(p, b)| (p.replace("EMAIL_", "EMAIL_again_"), b.clone())).collect();
    files.extend(twins);
    files
}

#[test]
fn a_vault_as_people_have_them_arrives_byte_for_byte() {
    let vault = vault();
    let pair = Pair::running();
    for (path, bytes) in &vault {
        pair.cloud.save(path, bytes);
    }
    pair.wait_same("the vault arrives", |files| *files == vault);
}

#[test]
fn a_vault_that_was_there_before_the_first_start_arrives_byte_for_byte() {
    let vault = vault();
    let mut pair = Pair::strangers();
    for (path, bytes) in &vault {
        pair.cloud.save(path, bytes);
    }
    pair.pair(&[]);
    pair.local.start();
    pair.wait_same("the vault arrives", |files| *files == vault);
    // Local's folders were empty, and nothing of the vault is new to it after a restart.
    pair.local.stop();
    pair.local.start();
    pair.wait_same("a restart changes nothing", |files| *files == vault);
}
