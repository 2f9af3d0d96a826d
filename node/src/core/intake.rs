//! Files from the disk: past the guard, mails into tasks, the rest into the vault.

use aiemp_crdt::vault::{self, RemoveOutcome, WriteOutcome};
use aiemp_protocol::{
    egress::Cleared,
    ids::{Audience, ContentHash, FileId, WorkId},
    time::Timestamp,
    vault_path::VaultPath,
    zone::Zone,
};

use super::{
    Core,
    mail::{self, Mail},
    output::{Notice, Output},
    work::{is_in, mail_path},
};

impl Core {
    pub(super) fn files_changed(
        &mut self,
        now: Timestamp,
        changed: Vec<(VaultPath, Vec<u8>)>,
        removed: Vec<VaultPath>,
    ) {
        let (mut cleared, mut kept_out) = (Vec::new(), Vec::new());
        for (path, bytes) in changed {
            if self.is_dropped_mail(&path) && self.take_mail(now, &path, &bytes) {
                continue;
            }
            let hash = ContentHash::of(&bytes);
            match self.clear(&path, bytes) {
                Some(file) => cleared.push((path, file)),
                None => kept_out.push((path, hash)),
            }
        }
        self.vault_input(now, vault::Input::FilesChanged { changed: cleared, removed, kept_out });
    }

    /// Looks at a whole file before any change of it exists. Paths that never sync stay where they are, unseen.
    fn clear(&mut self, path: &VaultPath, bytes: Vec<u8>) -> Option<Cleared<Vec<u8>>> {
        let zone = self.replication.rosters().current().zone_of(path).ok()?;
        // Beside a namesake a shared file may lie where its path alone would make it a private one.
        let is_shared = self.vault.file_at(path).is_some_and(|file| file.zone.audience() == Audience::All);
        let audience = if is_shared { Audience::All } else { zone.audience() };
        match self.guard.clear_file(path, audience, bytes) {
            Ok(cleared) => {
                self.work.held.remove(path);
                Some(cleared)
            }
            Err(why) => {
                self.work.held.insert(path.clone());
                self.notice(Notice::Held { path: path.clone(), why });
                None
            }
        }
    }

    /// Names that were logged before this node knew what they hold: an entry is signed whole and goes as it is, so the
    /// person is told.
    pub(super) fn look_at_names(&mut self) {
        let shared =
            self.vault.on_disk().map(|(_, there)| there).filter(|there| there.file.zone.audience() == Audience::All);
        let paths: Vec<_> = shared.map(|there| there.path.clone()).collect();
        for path in paths {
            if let Err(why) = self.guard.clear_file(&path, Audience::All, Vec::new()) {
                self.notice(Notice::Held { path, why });
            }
        }
    }

    /// A save that a write found in its way passes the guard as any other; what does not pass is kept for the person.
    pub(super) fn clear_written(&mut self, effect: vault::EffectId, outcome: WriteOutcome) -> WriteOutcome {
        match outcome {
            WriteOutcome::Displaced(bytes) if !self.passes(effect, &bytes) => WriteOutcome::Written,
            // It lies there still, and is looked at again when the write is tried again.
            WriteOutcome::Occupied(bytes) if !self.passes(effect, &bytes) => WriteOutcome::Failed,
            WriteOutcome::Displaced(_)
            | WriteOutcome::Occupied(_)
            | WriteOutcome::Written
            | WriteOutcome::InTheWay
            | WriteOutcome::Failed => outcome,
        }
    }

    /// As [`Core::clear_written`], for a removal.
    pub(super) fn clear_removed(&mut self, effect: vault::EffectId, outcome: RemoveOutcome) -> RemoveOutcome {
        match outcome {
            RemoveOutcome::Changed(bytes) if !self.passes(effect, &bytes) => RemoveOutcome::Removed,
            RemoveOutcome::Changed(_) | RemoveOutcome::Removed | RemoveOutcome::Failed => outcome,
        }
    }

    fn passes(&mut self, effect: vault::EffectId, bytes: &[u8]) -> bool {
        let Some((path, file)) = self.vault.place_of_effect(effect) else { return true };
        match self.guard.clear_file(&path, file.zone.audience(), bytes.to_vec()) {
            Ok(_) => true,
            Err(why) => {
                let reason = vault::HoldReason::Secret;
                self.work.held.insert(path.clone());
                self.notice(Notice::Kept { path: path.clone(), bytes: bytes.to_vec(), reason });
                self.notice(Notice::Held { path, why });
                false
            }
        }
    }

    /// A mail that a person, a watcher or a mail server put into `Inbox/` here. One that came from a peer is its
    /// peer's to ingest.
    fn is_dropped_mail(&self, path: &VaultPath) -> bool {
        is_in(path, "inbox") && path.extension() == "eml" && self.vault.file_at(path).is_none()
    }

    /// Makes a mail a task. The raw mail goes beside the task note; the drop is taken away once both are in the log.
    fn take_mail(&mut self, now: Timestamp, path: &VaultPath, raw: &[u8]) -> bool {
        let mail = match mail::read_mail(raw) {
            Ok(mail) => mail,
            Err(why) => {
                self.notice(Notice::NotAMail { path: path.clone(), why: why.to_string() });
                return false;
            }
        };
        let work = self.work_of(&mail, raw);
        if mail.list_mail {
            self.take_newsletter(now, path, raw, &mail, work);
            return true;
        }
        let content = ContentHash::of(raw);
        let eml = FileId::for_work(Zone::Intake, work, &format!("eml:{content}"));
        let eml = self.vault.standing_for(eml, |record| record.had_base(content));
        let eml_path = mail_path("Needs_Action", "EMAIL", &work, "eml");
        let task_path = mail_path("Needs_Action", "EMAIL", &work, "md");
        // A function of the mail alone where it can be: taken in twice, it is one note with one content.
        let received = mail.date.filter(|date| *date <= now).unwrap_or(now);
        let note = mail::task_note(&mail, &work, received, eml_path.as_str()).into_bytes();
        let (is_dated, base) = (mail.date == Some(received), ContentHash::of(&note));
        let task = self.vault.standing_for(FileId::for_work(Zone::Intake, work, "task"), |record| {
            // Where the time is that of whoever took it in, the note is told by its place.
            record.had_base(base) || (!is_dated && record.path.values().any(|path| *path == task_path))
        });
        let cleared = self
            .guard
            .clear_file(&eml_path, Audience::All, raw.to_vec())
            .and_then(|raw| Ok((raw, self.guard.clear_file(&task_path, Audience::All, note)?)));
        match cleared {
            Ok((raw, note)) => {
                self.vault_input(now, vault::Input::CreateRequested { file: eml, path: eml_path, content: raw });
                let create = vault::Input::CreateRequested { file: task, path: task_path.clone(), content: note };
                self.vault_input(now, create);
                self.work.drops.push(([eml, task], path.clone(), content));
                self.clear_drops();
                self.notice(Notice::MailTaken { work, path: task_path });
            }
            Err(why) => self.notice(Notice::Held { path: path.clone(), why }),
        }
        true
    }

    /// Takes dropped mails away whose files are durable: an entry applies only then.
    pub(super) fn clear_drops(&mut self) {
        let (done, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.work.drops)
            .into_iter()
            .partition(|(files, ..)| files.iter().all(|file| self.vault.index().get(*file).is_some()));
        self.work.drops = waiting;
        for (_, path, expected) in done {
            self.outputs.push_back(Output::RemoveIntake { path, expected });
        }
    }

    fn work_of(&self, mail: &Mail, raw: &[u8]) -> WorkId {
        let key = mail::source_key(mail, raw);
        let parts: Vec<&str> = key.iter().map(String::as_str).collect();
        WorkId::of_source(self.work.mesh, "email", &parts)
    }
}
