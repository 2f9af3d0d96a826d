//! The digest: what came, what was sent and what waits since the one before. A node that was away for days writes one.

use std::time::Duration;

use aiemp_crdt::index::FileRecord;
use aiemp_protocol::{
    approval::{Outcome, Receipt},
    ids::FileId,
    time::Timestamp,
    vault_path::VaultPath,
    zone::Zone,
};

use super::{
    Core,
    mail::inert,
    work::{counted, domain_of, is_in, listed, made},
};

/// What the first digest tells of.
const DAY: Duration = Duration::from_secs(86_400);
const FOLDER: &str = "Updates";
const PREFIX: &str = "DIGEST_";

impl Core {
    /// It is time for the digest of a day, `YYYY-MM-DD` where the person is. Asked again it is the same one; a day
    /// without anything gets none.
    pub(super) fn digest_due(&mut self, now: Timestamp, day: &str) {
        let Ok(path) = VaultPath::join(FOLDER, &format!("{PREFIX}{day}.md")) else { return };
        let file = self.vault.own_standing_for(FileId::at_path(Zone::Drafts, &path.key()));
        if self.vault.index().get(file).is_some() {
            return;
        }
        let is_digest = |path: &VaultPath| is_in(path, "updates") && path.name().starts_with(PREFIX);
        let since = self.last_written(is_digest).unwrap_or_else(|| now.earlier_by(DAY));
        let Some(body) = self.digest_of(since) else { return };
        let text = format!("# Digest of {day}\n\nWhat happened since {since}.\n\n{body}");
        self.write_own(now, (file, path), text, true);
    }

    /// What happened since then and what waits now; nothing where that is nothing.
    fn digest_of(&self, since: Timestamp) -> Option<String> {
        let is_new = |record: &FileRecord| made(record) > Some(since);
        let new: Vec<_> = self.vault.index().iter().filter(|(_, record)| is_new(record)).collect();
        let mut sections = vec![self.came_in(&new)];
        sections.extend(self.went_out(since));
        sections.push(self.waits());
        let is_finished = |path: &VaultPath| path.name().starts_with("FINISHED_");
        let finished = new.iter().filter(|(_, record)| record.path.values().any(is_finished)).count();
        sections.push((finished > 0).then(|| format!("**Done without sending anything:** {finished}\n")));
        let conflicts = self.vault.open_items().len();
        let to_look_at = || format!("**Conflicts to look at:** {conflicts} (`aiemp-node conflicts`)\n");
        sections.push((conflicts > 0).then(to_look_at));
        let sections: Vec<_> = sections.into_iter().flatten().collect();
        (!sections.is_empty()).then(|| sections.join("\n"))
    }

    /// Tasks by their domains, those that are open by name, and newsletters.
    fn came_in(&self, new: &[(FileId, &FileRecord)]) -> Option<String> {
        let (mut domains, mut open) = (Vec::new(), Vec::new());
        for (file, record) in new.iter().filter(|(file, _)| file.zone == Zone::Intake) {
            let Some(path) = record.path.values().next().filter(|path| path.extension() == "md") else { continue };
            domains.push(inert::escape_line(domain_of(path)));
            if self.vault.is_in_sight(*file) && !record.is_archived() && is_in(path, "needs_action") {
                open.push(path.clone());
            }
        }
        let is_newsletter = |path: &VaultPath| path.folder() == "Updates/newsletters" && path.extension() == "md";
        let news = new.iter().filter_map(|(_, record)| record.path.shown().filter(|path| is_newsletter(path)).cloned());
        let mut text = String::new();
        if !domains.is_empty() {
            text.push_str(&format!("**Came in:** {}\n{}", counted(domains).join(", "), links(open)));
        }
        let news: Vec<_> = news.collect();
        if !news.is_empty() {
            text.push_str(&format!("**Newsletters:** {}\n{}", news.len(), links(news)));
        }
        (!text.is_empty()).then_some(text)
    }

    /// What became of approved actions, by kind.
    fn went_out(&self, since: Timestamp) -> Vec<Option<String>> {
        let told = |outcome: Outcome, word: &str| {
            let is_one = |receipt: &&Receipt| receipt.outcome == outcome && receipt.at > since;
            let ended = self.work.receipts.values().filter(is_one);
            let kinds = counted(ended.map(|receipt| receipt.kind.as_str().to_owned()));
            (!kinds.is_empty()).then(|| format!("**{word}:** {}\n", kinds.join(", ")))
        };
        vec![
            told(Outcome::Sent, "Sent"),
            told(Outcome::Failed, "Not sent"),
            told(Outcome::Unknown, "Sent or not, please look (`aiemp-node approvals`)"),
        ]
    }

    fn waits(&self) -> Option<String> {
        let waiting: Vec<_> = self.waiting_drafts().map(|(_, path)| path).collect();
        let told = || format!("**Waiting for your approval:** {}\n{}", waiting.len(), links(waiting.clone()));
        (!waiting.is_empty()).then(told)
    }
}

fn links(mut paths: Vec<VaultPath>) -> String {
    paths.sort();
    listed(paths.iter().map(inert::link))
}
