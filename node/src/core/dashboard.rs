//! The dashboard between its markers, and the day's log: what a person sees at a glance. Never authority.
//!
//! The dashboard is one file of all Local nodes, and the executor alone writes it: two that count the same drafts apart
//! would merge to a number that nobody counted.

use std::{collections::BTreeSet, time::Duration};

use aiemp_crdt::vault;
use aiemp_protocol::{
    approval::{Outcome, Receipt},
    egress::Held,
    ids::{Audience, FileId},
    limits::NOTE_BYTES_MAX,
    time::Timestamp,
    vault_path::VaultPath,
    zone::Zone,
};

use super::{
    Core,
    mail::inert,
    output::Notice,
    work::{LISTED_MAX, Reading, is_in},
};

pub(super) const BEGIN: &str = "<!-- aiemp:begin -->";
pub(super) const END: &str = "<!-- aiemp:end -->";
/// The dashboard is rewritten at most once in this time.
const CALM: Duration = Duration::from_millis(500);

impl Core {
    pub(super) fn touch_dashboard(&mut self, now: Timestamp, file: FileId) {
        let counts = self.path_of(file).is_some_and(|path| is_in(&path, "pending_approval"));
        if (counts || self.catches_up(now, file) || self.is_trouble(file)) && self.work.dashboard_due.is_none() {
            self.work.dashboard_due = Some(now + CALM);
        }
    }

    pub(super) fn refresh_dashboard(&mut self, now: Timestamp) {
        if self.work.dashboard_due.is_none_or(|due| due > now) {
            return;
        }
        self.work.dashboard_due = None;
        if self.replication.rosters().current().executor != self.work.me {
            self.work.dashboard_shown = None;
            return;
        }
        let section = self.dashboard_section(now);
        if self.work.dashboard_shown.as_ref() == Some(&section) {
            return;
        }
        let path = VaultPath::parse("Dashboard.md").expect("a plain name");
        match self.vault.file_at(&path) {
            Some(file) => self.read(now, file, Reading::Dashboard(file)),
            None if !self.has_worked() => {}
            None => {
                let text = format!("# Dashboard\n\n{section}\n");
                let file = FileId::at_path(Zone::Private, &path.key());
                if let Ok(content) = self.guard.clear_file(&path, Audience::Local, text.into_bytes()) {
                    self.vault_input(now, vault::Input::CreateRequested { file, path, content });
                    self.work.dashboard_shown = Some(section);
                }
            }
        }
    }

    /// Whether there is anything of this mesh's own to show: a folder that is only kept in step gets no file of ours.
    fn has_worked(&self) -> bool {
        let me = self.replication.me();
        let of_another = |(file, _): (FileId, VaultPath)| {
            let made_by = self.vault.index().get(file).and_then(|record| record.base.writes().next());
            made_by.is_some_and(|(origin, _)| origin.author() != me)
        };
        self.work.is_stopped
            || !self.work.receipts.is_empty()
            || self.vault.claims().iter().any(|(_, claim)| !claim.by_hand)
            || !self.signatures_asked().is_empty()
            || self.waiting_drafts().any(of_another)
    }

    pub(super) fn dashboard_read(&mut self, now: Timestamp, file: FileId, text: &str) {
        if self.vault.is_changing(file) {
            // What was written last is not in the text yet; written over that, a count would stand there with both its digits.
            self.work.dashboard_due = Some(now + CALM);
            return;
        }
        let section = self.dashboard_section(now);
        let new = replace_section(text, &section);
        let path = VaultPath::parse("Dashboard.md").expect("a plain name");
        if new != text
            && let Ok(content) = self.guard.clear_file(&path, Audience::Local, new.into_bytes())
        {
            self.vault_input(now, vault::Input::RewriteRequested { file, content });
        }
        self.work.dashboard_shown = Some(section);
    }

    fn dashboard_section(&self, now: Timestamp) -> String {
        let mut waiting: Vec<_> = self.waiting_drafts().map(|(_, path)| path).collect();
        waiting.sort();
        let mut lines = vec![BEGIN.to_owned()];
        if self.work.is_stopped {
            lines.push("**Frozen:** nothing is sent, claimed or drafted (`aiemp-node unfreeze`)".to_owned());
            lines.push(String::new());
        }
        lines.extend(self.meanwhile(now).into_iter().flat_map(|line| [line, String::new()]));
        lines.push(format!("**Waiting for your approval:** {}", waiting.len()));
        let asked: BTreeSet<_> = self.signatures_asked().iter().filter_map(|file| self.path_of(*file)).collect();
        let mark = |path| if asked.contains(path) { " — needs your signature: `aiemp-node approvals`" } else { "" };
        lines.extend(waiting.iter().take(LISTED_MAX).map(|path| format!("- {}{}", inert::link(path), mark(path))));
        lines.push(String::new());
        let conflicts = self.vault.open_items().len();
        if conflicts > 0 {
            lines.push(format!("**Conflicts to look at:** {conflicts} (`aiemp-node conflicts`)"));
            lines.push(String::new());
        }
        let troubles = self.lasting_troubles();
        if !troubles.is_empty() {
            lines.push(format!("**Troubles:** {}", troubles.len()));
            lines.extend(troubles.iter().take(LISTED_MAX).map(|path| format!("- {}", inert::link(path))));
            lines.push(String::new());
        }
        let of = |outcome| self.work.receipts.values().filter(|receipt| receipt.outcome == outcome).count();
        lines.push(format!("**Sent:** {}", of(Outcome::Sent)));
        let unknown = of(Outcome::Unknown);
        if unknown > 0 {
            lines.push(format!("**Sent or not, please look:** {unknown} (`aiemp-node approvals`)"));
        }
        lines.push(END.to_owned());
        lines.join("\n")
    }

    /// Drafts that are in sight under `Pending_Approval/`.
    pub(super) fn waiting_drafts(&self) -> impl Iterator<Item = (FileId, VaultPath)> + '_ {
        self.vault.index().iter().filter(|(file, _)| self.vault.is_in_sight(*file)).filter_map(|(file, record)| {
            let path = record.path.shown()?;
            (is_in(path, "pending_approval") && path.extension() == "md").then(|| (file, path.clone()))
        })
    }

    /// Adds a line to the day's log of this node: what was done, to whom in masked form, with which end.
    pub(super) fn log_sent(&mut self, now: Timestamp, receipt: &Receipt) {
        let line = serde_json::json!({
            "timestamp": receipt.at.to_string(),
            "action_type": receipt.kind.as_str(),
            "actor": self.work.name,
            "target": receipt.work.to_string(),
            "parameters": { "action": receipt.action.to_string() },
            "approval_status": "approved",
            "approved_by": "owner",
            "result": receipt.outcome.as_str(),
        });
        self.work.log_lines.push((now, format!("{line}\n")));
        self.write_day_log(now);
    }

    pub(super) fn write_day_log(&mut self, now: Timestamp) {
        if self.work.logging {
            return;
        }
        let Some((at, line)) = self.work.log_lines.pop() else { return };
        self.work.logging = true;
        let part = self.work.log_part.clone().filter(|(day, _)| *day == at.date()).map_or(1, |(_, part)| part);
        self.log_into(now, part, (at, line));
    }

    /// The logs of a day follow each other: each is a note, which has an end.
    fn log_into(&mut self, now: Timestamp, part: usize, (at, line): (Timestamp, String)) {
        let name = format!("{}-{}.jsonl", at.date(), self.work.name);
        let first = VaultPath::join("Logs", &name);
        let path = if part == 1 { first } else { first.and_then(|path| path.with_stem_suffix(&format!(" ({part})"))) };
        let Ok(path) = path else { return };
        self.work.log_part = Some((at.date(), part));
        let file = self.vault.own_standing_for(FileId::at_path(Zone::Drafts, &path.key()));
        if self.vault.index().get(file).is_some() {
            return self.read(now, file, Reading::DayLog { file, part, at, line });
        }
        match self.guard.clear_file(&path, Audience::All, line.clone().into_bytes()) {
            Ok(content) => self.vault_input(now, vault::Input::CreateRequested { file, path, content }),
            Err(why) => self.day_log_held(path, why, (at, line)),
        }
    }

    pub(super) fn day_log_read(
        &mut self,
        now: Timestamp,
        (file, part): (FileId, usize),
        bytes: Option<Vec<u8>>,
        (at, line): (Timestamp, String),
    ) {
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        let Some(text) = text.filter(|text| text.len() + line.len() <= NOTE_BYTES_MAX) else {
            return self.log_into(now, part + 1, (at, line));
        };
        let Some(path) = self.path_of(file) else { return };
        match self.guard.clear_file(&path, Audience::All, format!("{text}{line}").into_bytes()) {
            Ok(content) => self.vault_input(now, vault::Input::RewriteRequested { file, content }),
            Err(why) => self.day_log_held(path, why, (at, line)),
        }
    }

    /// Somebody wrote into the log what may not leave: the line waits until that is taken out or released.
    fn day_log_held(&mut self, path: VaultPath, why: Held, line: (Timestamp, String)) {
        self.work.logging = false;
        self.work.log_lines.push(line);
        self.notice(Notice::Held { path, why });
    }

    /// The next line follows when the one before is in the file, and what was held when the file changed.
    pub(super) fn continue_day_log(&mut self, now: Timestamp, file: FileId) {
        let waits = self.work.logging || !self.work.log_lines.is_empty();
        if waits && self.path_of(file).is_some_and(|path| is_in(&path, "logs")) {
            self.work.logging = false;
            self.write_day_log(now);
        }
    }
}

/// The text with the section between its markers replaced, or added at the end. What stands between is from the last end back to the
/// beginning before it: where a marker is gone, nothing that somebody wrote is taken for ours.
pub(super) fn replace_section(text: &str, section: &str) -> String {
    let pair = text.rfind(END).and_then(|end| Some((text[..end].rfind(BEGIN)?, end)));
    let pair = pair.filter(|(begin, end)| !text[*begin..*end].contains(END));
    let (before, after) = match pair {
        Some((begin, end)) => (&text[..begin], Some(&text[end + END.len()..])),
        None => (text, None),
    };
    let bare = |text: &str| text.replace(BEGIN, "").replace(END, "");
    match after {
        Some(after) => format!("{}{section}{}", bare(before), bare(after)),
        None => format!("{}\n\n{section}\n", bare(before).trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_markers_changes() {
        let section = format!("{BEGIN}\nnew\n{END}");
        let text = format!("# Mine\n{BEGIN}\nold\n{END}\ntail\n");
        assert_eq!(replace_section(&text, &section), format!("# Mine\n{section}\ntail\n"));
        assert_eq!(replace_section("# Mine\n", &section), format!("# Mine\n\n{section}\n"));
        // A marker that somebody took away: what they wrote stays, and the next time it is replaced alone.
        for broken in [format!("# Mine\n{BEGIN}\nold\nmy own\n"), format!("# Mine\nold\n{END}\nmy own\n")] {
            let once = replace_section(&broken, &section);
            assert!(
                once.contains("my own") && once.matches(BEGIN).count() == 1 && once.matches(END).count() == 1,
                "{once}"
            );
            assert_eq!(replace_section(&once, &section), once);
        }
    }
}
