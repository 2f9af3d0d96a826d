//! Notes that show something else than they say, as the vault holds them now.

use std::path::Path;

use aiemp_protocol::{
    action::spelt,
    ids::Audience,
    limits::NOTE_BYTES_MAX,
    roster::Roster,
    unseen::{UnseenLine, unseen_lines},
    vault_path::VaultPath,
};

use super::Findings;

/// Lines that are told; a person who reads so many looks into the vault.
const LINES_MAX: usize = 20;

pub(super) fn check(vault: &Path, roster: &Roster, findings: &mut Findings) {
    let mut notes = Vec::new();
    collect(vault, "", roster, &mut notes);
    notes.sort_by(|a, b| a.0.cmp(&b.0));
    let all: usize = notes.iter().map(|(_, lines)| lines.len()).sum();
    if all == 0 {
        return findings.ok("no shared note hides characters or turns text around");
    }
    let lines = notes.iter().flat_map(|(path, lines)| lines.iter().map(move |line| (path, line)));
    for (path, UnseenLine { line, spelt: text }) in lines.take(LINES_MAX) {
        findings.warning(
            format!("{} shows something else than it says in line {line}: {text}", spelt(path.as_str())),
            "Read it as it is spelt here; take out of the note what should not be there.",
        );
    }
    if all > LINES_MAX {
        let fix = "Look at those first.";
        findings.warning(format!("{} more lines in shared notes are like that", all - LINES_MAX), fix);
    }
}

/// Notes that other members may have written, with their lines that deceive. Links are not followed.
fn collect(vault: &Path, folder: &str, roster: &Roster, found: &mut Vec<(VaultPath, Vec<UnseenLine>)>) {
    for file in std::fs::read_dir(vault.join(folder)).into_iter().flatten().flatten() {
        let Some(name) = file.file_name().to_str().map(str::to_owned) else { continue };
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        let Ok(metadata) = file.metadata() else { continue };
        if metadata.is_dir() && !path.starts_with('.') {
            collect(vault, &path, roster, found);
        }
        let Ok(path) = VaultPath::parse(&path) else { continue };
        let is_shared = roster.zone_of(&path).is_ok_and(|zone| zone.audience() == Audience::All);
        if !metadata.is_file() || !is_shared || path.extension() != "md" || metadata.len() > NOTE_BYTES_MAX as u64 {
            continue;
        }
        let Ok(text) = std::fs::read_to_string(file.path()) else { continue };
        let lines = unseen_lines(&text);
        if !lines.is_empty() {
            found.push((path, lines));
        }
    }
}
