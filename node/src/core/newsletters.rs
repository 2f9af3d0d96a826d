//! Mails that were sent to a list or by a machine: no task each, but a line in one note of the day, with the mail beside it.

use std::collections::BTreeSet;

use aiemp_crdt::vault;
use aiemp_protocol::{
    egress::{Cleared, Held},
    ids::{Audience, ContentHash, FileId, WorkId},
    limits::NOTE_BYTES_MAX,
    time::Timestamp,
    vault_path::VaultPath,
    zone::Zone,
};

use super::{
    Core,
    mail::{self, Mail, inert},
    output::Notice,
    work::Reading,
};

/// Lines written at once, so that each write stays short.
const BATCH_MAX: usize = 250;
/// How much of a subject or sender stands in a line.
const MENTION_BYTES_MAX: usize = 200;

/// One such mail on its way into the vault.
#[derive(Debug)]
pub(super) struct Newsletter {
    /// `YYYY-MM-DD`, by which the note is named.
    day: String,
    line: String,
    eml: FileId,
    eml_path: VaultPath,
    raw: Cleared<Vec<u8>>,
    /// What is taken away once the mail is in the log.
    drop: (VaultPath, ContentHash),
}

/// What is on its way.
#[derive(Debug, Default)]
pub(super) struct Newsletters {
    waiting: Vec<Newsletter>,
    /// Those that wait: a mail is told of again while it lies where it was dropped.
    taken: BTreeSet<FileId>,
    /// The note that is being read or written.
    under_way: Option<FileId>,
}

impl Core {
    pub(super) fn take_newsletter(&mut self, now: Timestamp, path: &VaultPath, raw: &[u8], mail: &Mail, work: WorkId) {
        let content = ContentHash::of(raw);
        let eml = FileId::for_work(Zone::Drafts, work, &format!("eml:{content}"));
        let eml = self.vault.standing_for(eml, |record| record.had_base(content));
        let drop = (path.clone(), content);
        if self.work.newsletters.taken.contains(&eml) || self.vault.is_live(eml) {
            // The same by another way, or told of a second time.
            self.work.drops.push(([eml, eml], drop.0, drop.1));
            return self.clear_drops();
        }
        let received = mail.date.filter(|date| *date <= now).unwrap_or(now);
        let day = received.date();
        let name = format!("EMAIL_{}.eml", mail::note_id(&work));
        let line = line_of(mail, &format!("{day}/{name}"));
        let Ok(eml_path) = VaultPath::join(&format!("Updates/newsletters/{day}"), &name) else { return };
        match self.guard.clear_file(&eml_path, Audience::All, raw.to_vec()) {
            Ok(raw) => {
                self.work.newsletters.taken.insert(eml);
                self.work.newsletters.waiting.push(Newsletter { day, line, eml, eml_path, raw, drop });
                self.write_newsletters(now);
            }
            Err(why) => self.notice(Notice::Held { path: path.clone(), why }),
        }
    }

    fn write_newsletters(&mut self, now: Timestamp) {
        let Newsletters { waiting, under_way, .. } = &self.work.newsletters;
        let Some(first) = waiting.first().filter(|_| under_way.is_none()) else { return };
        let day = first.day.clone();
        self.write_part(now, &day, 1);
    }

    /// The notes of a day follow each other: each has an end, and what a person put away is not written again.
    fn write_part(&mut self, now: Timestamp, day: &str, part: usize) {
        let first = VaultPath::join("Updates/newsletters", &format!("{day}-{}.md", self.work.name));
        let path = if part == 1 { first } else { first.and_then(|path| path.with_stem_suffix(&format!(" ({part})"))) };
        let Ok(path) = path else { return };
        let file = self.vault.own_standing_for(FileId::at_path(Zone::Drafts, &path.key()));
        if self.vault.is_live(file) {
            self.work.newsletters.under_way = Some(file);
            return self.read(now, file, Reading::Newsletters { file, day: day.to_owned(), part });
        }
        if self.vault.index().get(file).is_some() {
            return self.write_part(now, day, part + 1);
        }
        let (lines, mails) = self.next_of(day, "");
        let text =
            format!("# Newsletters of {day}\n\nSent to lists or by machines; no task was made of them.\n\n{lines}");
        match self.guard.clear_file(&path, Audience::All, text.into_bytes()) {
            Ok(content) => {
                self.work.newsletters.under_way = Some(file);
                self.vault_input(now, vault::Input::CreateRequested { file, path, content });
                self.store_newsletters(now, mails);
            }
            Err(why) => self.newsletters_held(path, why, mails),
        }
    }

    pub(super) fn newsletters_read(
        &mut self,
        now: Timestamp,
        file: FileId,
        (day, part): (&str, usize),
        bytes: Option<Vec<u8>>,
    ) {
        self.work.newsletters.under_way = None;
        let Some(text) = bytes.and_then(|bytes| String::from_utf8(bytes).ok()) else {
            return self.write_part(now, day, part + 1);
        };
        let (lines, mails) = self.next_of(day, &text);
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        let written = format!("{text}{end}{lines}");
        if written.len() > NOTE_BYTES_MAX {
            self.work.newsletters.waiting.extend(mails);
            return self.write_part(now, day, part + 1);
        }
        let Some(path) = self.path_of(file) else { return };
        match self.guard.clear_file(&path, Audience::All, written.into_bytes()) {
            Ok(content) if !lines.is_empty() => {
                self.work.newsletters.under_way = Some(file);
                self.vault_input(now, vault::Input::RewriteRequested { file, content });
                self.store_newsletters(now, mails);
            }
            Ok(_) => {
                self.store_newsletters(now, mails);
                self.write_newsletters(now);
            }
            Err(why) => self.newsletters_held(path, why, mails),
        }
    }

    /// The next mails of a day, with the lines that the note lacks.
    fn next_of(&mut self, day: &str, text: &str) -> (String, Vec<Newsletter>) {
        let mut left = BATCH_MAX;
        let is_next = |mail: &mut Newsletter| {
            let is_next = mail.day == day && left > 0;
            left -= usize::from(is_next);
            is_next
        };
        let mails: Vec<_> = self.work.newsletters.waiting.extract_if(.., is_next).collect();
        let lines = mails.iter().filter(|mail| !text.contains(mail.eml_path.name())).map(|mail| mail.line.as_str());
        (lines.collect(), mails)
    }

    /// In the log after their lines: a mail that is there has its line.
    fn store_newsletters(&mut self, now: Timestamp, mails: Vec<Newsletter>) {
        for Newsletter { eml, eml_path, raw, drop: (path, content), .. } in mails {
            self.work.newsletters.taken.remove(&eml);
            self.vault_input(now, vault::Input::CreateRequested { file: eml, path: eml_path, content: raw });
            self.work.drops.push(([eml, eml], path, content));
        }
        self.clear_drops();
    }

    /// The mails stay where they were dropped, and are taken up at the next start or once they are touched.
    fn newsletters_held(&mut self, path: VaultPath, why: Held, mails: Vec<Newsletter>) {
        for mail in mails {
            self.work.newsletters.taken.remove(&mail.eml);
        }
        self.notice(Notice::Held { path, why });
    }

    /// The next lines follow when those before are in the note.
    pub(super) fn continue_newsletters(&mut self, now: Timestamp, file: FileId) {
        if self.work.newsletters.under_way == Some(file) && !self.vault.is_changing(file) {
            self.work.newsletters.under_way = None;
            self.write_newsletters(now);
        }
    }
}

fn line_of(mail: &Mail, eml: &str) -> String {
    let subject = if mail.subject.is_empty() { "(no subject)" } else { &mail.subject };
    let subject = inert::escape_line(&inert::one_line(subject, MENTION_BYTES_MAX));
    let from = mail.from.first().map(ToString::to_string).unwrap_or_default();
    let from = inert::escape_line(&inert::one_line(&from, MENTION_BYTES_MAX));
    format!("- {subject} · {from} · [mail]({eml})\n")
}
