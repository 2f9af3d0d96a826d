//! What is not as it should be, as notes: one for each trouble while it lasts, with how often it came, and written seldom. Local's
//! are for Local nodes alone, for they name what lies there.

use std::{collections::BTreeMap, time::Duration};

use aiemp_crdt::vault;
use aiemp_protocol::{
    ids::{ContentHash, FileId},
    roster::Role,
    time::Timestamp,
    vault_path::VaultPath,
    zone::Zone,
};

use super::{
    Core,
    mail::inert,
    output::Notice,
    work::{Reading, is_in},
};

/// Gone for so long it is over; coming back before that it is the same one, once more.
const OVER: Duration = Duration::from_secs(600);
/// What changes about one is written at most so often.
const SELDOM: Duration = Duration::from_secs(3_600);
const PREFIX: &str = "TROUBLE_";
/// Notes of that many troubles; whatever goes beyond is told by `status` alone.
const TROUBLES_MAX: usize = 50;

/// What kind of trouble it is, by what is to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TroubleClass {
    /// A network, a provider that is overloaded.
    Transient,
    /// A key or an account is refused.
    Authentication,
    /// A program does something else than it should.
    Logic,
    /// Something that came cannot be taken as it is.
    Data,
    /// A disk, memory, a process.
    System,
}

impl TroubleClass {
    /// The word for it in a note.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Authentication => "authentication",
            Self::Logic => "logic",
            Self::Data => "data",
            Self::System => "system",
        }
    }

    const fn treatment(self) -> &'static str {
        match self {
            Self::Transient => "It is tried again by itself, more and more seldom.",
            Self::Authentication => "It waits for you: nothing is asked for a while, and no try is counted.",
            Self::Logic => "It is tried again a few times, and then left to you.",
            Self::Data => "What cannot be taken is left where it lies, and everything else goes on.",
            Self::System => "It waits until there is room again; nothing is lost meanwhile.",
        }
    }
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What it is with: `brain`, `mailbox`, `watcher rss`.
    pub name: String,
    /// What kind it is.
    pub class: TroubleClass,
    /// What is the matter.
    pub what: String,
    /// What to do.
    pub fix: String,
}

/// A trouble that lasts.
#[derive(Debug)]
struct Lasting {
    trouble: Trouble,
    since: Timestamp,
    last: Timestamp,
    count: u64,
    gone: Option<Timestamp>,
    written: Timestamp,
}

/// Those that last, by their names.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    lasting: BTreeMap<String, Lasting>,
    /// Whether it was looked what an earlier run noted.
    has_looked: bool,
}

impl Core {
    /// What is the matter now, all of it.
    pub(super) fn troubles_found(&mut self, now: Timestamp, found: Vec<Trouble>) {
        let Troubles { lasting, has_looked } = &self.work.troubles;
        if found.is_empty() && lasting.is_empty() && *has_looked {
            return;
        }
        let found: BTreeMap<_, _> = found.into_iter().map(|trouble| (file_name(&trouble.name), trouble)).collect();
        let mut to_write = Vec::new();
        for (name, trouble) in &found {
            if let Some(lasting) = self.work.troubles.lasting.get_mut(name) {
                if lasting.gone.take().is_some() || lasting.trouble != *trouble {
                    lasting.count += 1;
                }
                lasting.trouble.clone_from(trouble);
                lasting.last = now;
                if now.since(lasting.written) >= SELDOM {
                    to_write.push(name.clone());
                }
            } else if self.work.troubles.lasting.len() < TROUBLES_MAX {
                let (trouble, since) = (trouble.clone(), self.trouble_noted_since(name).unwrap_or(now));
                let lasting = Lasting { trouble, since, last: now, count: 1, gone: None, written: now };
                self.work.troubles.lasting.insert(name.clone(), lasting);
                to_write.push(name.clone());
            }
        }
        for name in self.troubles_over(now, &found) {
            self.work.troubles.lasting.remove(&name);
            self.put_trouble_away(now, &name);
        }
        for name in to_write {
            self.write_trouble(now, &name);
        }
    }

    /// Notes of an earlier run count as well: what they tell may be over.
    fn troubles_over(&mut self, now: Timestamp, found: &BTreeMap<String, Trouble>) -> Vec<String> {
        let mut over = Vec::new();
        for (name, lasting) in self.work.troubles.lasting.iter_mut().filter(|(name, _)| !found.contains_key(*name)) {
            let gone = *lasting.gone.get_or_insert(now);
            if now.since(gone) >= OVER {
                over.push(name.clone());
            }
        }
        if !std::mem::replace(&mut self.work.troubles.has_looked, true) {
            let noted = self.noted_troubles().into_iter().map(|(name, _)| name);
            over.extend(noted.filter(|name| !self.work.troubles.lasting.contains_key(name)));
        }
        over
    }

    /// The notes of this node's troubles that are in sight.
    fn noted_troubles(&self) -> Vec<(String, FileId)> {
        let (me, prefix) = (self.work.me, format!("{PREFIX}{}_", self.work.name));
        let own =
            self.vault.index().iter().filter(|(file, record)| {
                self.vault.is_live(*file) && record.base.has_any(|origin| origin.author() == me)
            });
        let named = own.filter_map(|(file, record)| {
            let path = record.path.shown()?;
            let name = path.name().strip_prefix(&prefix)?.strip_suffix(".md")?.to_owned();
            is_signal(path).then_some((name, file))
        });
        named.collect()
    }

    fn trouble_noted_since(&self, name: &str) -> Option<Timestamp> {
        let (_, file) = self.noted_troubles().into_iter().find(|(noted, _)| noted == name)?;
        self.vault.index().get(file)?.base.all().map(|(origin, _)| origin.hlc).min()
    }

    fn write_trouble(&mut self, now: Timestamp, name: &str) {
        let Some(lasting) = self.work.troubles.lasting.get_mut(name) else { return };
        lasting.written = now;
        let Lasting { trouble: Trouble { name: about, class, what, fix }, since, last, count, .. } = lasting;
        let [about, what, fix] = [about, what, fix].map(|text| inert::escape_line(&inert::one_line(text, 1_000)));
        let text = format!(
            "---\ntype: trouble\nclass: {}\nsince: {since}\nlast: {last}\ncount: {count}\n---\n# {about}\n\n{what}\n\n{fix}\n\n{}\n",
            class.as_str(),
            class.treatment()
        );
        let noted = self.noted_troubles().into_iter().find(|(noted, _)| noted == name).map(|(_, file)| file);
        let folder = if self.work.role == Role::Local { "Private/Signals" } else { "Signals" };
        let path = VaultPath::join(folder, &format!("{PREFIX}{}_{name}.md", self.work.name));
        let Some(path) = noted.and_then(|file| self.path_of(file)).or_else(|| path.ok()) else { return };
        let Ok(zone) = self.replication.rosters().current().zone_of(&path) else { return };
        match self.guard.clear_file(&path, zone.audience(), text.into_bytes()) {
            Ok(content) => match noted {
                Some(file) => self.vault_input(now, vault::Input::RewriteRequested { file, content }),
                None => {
                    let file = self.free_or_live(zone, &path);
                    self.vault_input(now, vault::Input::CreateRequested { file, path, content });
                }
            },
            Err(why) => self.notice(Notice::Held { path, why }),
        }
    }

    /// It is over: its note goes out of sight, and stays in the history.
    fn put_trouble_away(&mut self, now: Timestamp, name: &str) {
        for (_, file) in self.noted_troubles().into_iter().filter(|(noted, _)| noted == name) {
            self.read(now, file, Reading::TroubleOver(file));
        }
    }

    pub(super) fn trouble_over(&mut self, now: Timestamp, file: FileId, bytes: Option<&[u8]>) {
        if let Some(bytes) = bytes {
            let content = ContentHash::of(bytes);
            self.vault_input(now, vault::Input::ArchiveAsRequested { file, content });
        }
    }

    /// Notes of troubles, of whichever node, for the dashboard.
    pub(super) fn lasting_troubles(&self) -> Vec<VaultPath> {
        let in_sight = self.vault.index().iter().filter(|(file, _)| self.vault.is_in_sight(*file));
        let shown = in_sight.filter_map(|(_, record)| record.path.shown());
        let mut paths: Vec<_> =
            shown.filter(|path| is_signal(path) && path.name().starts_with(PREFIX)).cloned().collect();
        paths.sort();
        paths
    }

    /// Whether the dashboard says something about it.
    pub(super) fn is_trouble(&self, file: FileId) -> bool {
        matches!(file.zone, Zone::Drafts | Zone::Private)
            && self.path_of(file).is_some_and(|path| is_signal(&path) && path.name().starts_with(PREFIX))
    }
}

fn is_signal(path: &VaultPath) -> bool {
    is_in(path, "signals") || path.key().starts_with("private/signals/")
}

/// A word for the note's name.
fn file_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = name.chars().map(plain).take(60).collect();
    name.trim_matches('-').to_owned()
}
