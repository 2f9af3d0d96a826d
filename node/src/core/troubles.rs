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
    work::{Reading, is_in, made},
};

/// Gone for so long it is over; coming back before that it is the same one, once more.
const OVER: Duration = Duration::from_secs(600);
/// What changes about one is written at most so often.
const SELDOM: Duration = Duration::from_secs(3_600);
const PREFIX: &str = "TROUBLE_";
/// How much of a name stands in that of its note.
const NAME_CHARS_MAX: usize = 40;
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
    /// None where an earlier run noted it, and nothing was heard of it since.
    trouble: Option<Trouble>,
    since: Timestamp,
    /// How often it came.
    count: u64,
    gone: Option<Timestamp>,
    /// When its note was written last, and what about.
    written: Timestamp,
    said: Option<(Trouble, u64)>,
}

/// Those that last, by the names of their notes.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    lasting: BTreeMap<String, Lasting>,
    /// Whether it was looked what an earlier run noted.
    has_looked: bool,
}

impl Core {
    /// What is the matter now, all of it.
    pub(super) fn troubles_found(&mut self, now: Timestamp, found: Vec<Trouble>) {
        if !std::mem::replace(&mut self.work.troubles.has_looked, true) {
            self.take_noted(now);
        }
        let lasting = &mut self.work.troubles.lasting;
        let found: BTreeMap<_, _> = found.into_iter().map(|trouble| (file_name(&trouble.name), trouble)).collect();
        for (name, trouble) in &found {
            if !lasting.contains_key(name) && lasting.len() >= TROUBLES_MAX {
                continue;
            }
            let new = Lasting { trouble: None, since: now, count: 0, gone: Some(now), written: now, said: None };
            let known = lasting.entry(name.clone()).or_insert(new);
            // Words with numbers in them change all the time.
            let is_another = known.trouble.as_ref().is_some_and(|known| known.class != trouble.class);
            known.count += u64::from(known.gone.take().is_some() || is_another);
            known.trouble = Some(trouble.clone());
        }
        let (mut over, mut to_write) = (Vec::new(), Vec::new());
        for (name, known) in lasting.iter_mut() {
            if found.contains_key(name) {
                let says = known.trouble.clone().map(|trouble| (trouble, known.count));
                let is_due = known.said.is_none() || (known.said != says && now.since(known.written) >= SELDOM);
                to_write.extend(is_due.then(|| name.clone()));
            } else if now.since(*known.gone.get_or_insert(now)) >= OVER {
                over.push(name.clone());
            }
        }
        for name in over {
            self.work.troubles.lasting.remove(&name);
            self.put_trouble_away(now, &name);
        }
        for name in to_write {
            self.write_trouble(now, &name);
        }
    }

    /// What an earlier run noted is gone, unless it is told again before it is over.
    fn take_noted(&mut self, now: Timestamp) {
        let prefix = format!("{PREFIX}{}_", self.work.name);
        let index = self.vault.index().iter();
        let paths: Vec<_> =
            index.filter_map(|(_, record)| record.path.shown()).filter(|path| is_signal(path)).collect();
        let names = paths.into_iter().filter_map(|path| path.name().strip_prefix(&prefix)?.strip_suffix(".md"));
        let names: Vec<_> = names.map(str::to_owned).collect();
        for name in names {
            let Some((file, _)) = self.noted_trouble(&name) else { continue };
            let since = self.vault.index().get(file).and_then(made);
            let since = since.unwrap_or(now);
            let noted = Lasting { trouble: None, since, count: 0, gone: Some(now), written: now, said: None };
            self.work.troubles.lasting.insert(name, noted);
        }
    }

    /// Where this node's note of a trouble lies.
    fn place_of_trouble(&self, name: &str) -> Option<(Zone, VaultPath)> {
        let folder = if self.work.role == Role::Local { "Private/Signals" } else { "Signals" };
        let path = VaultPath::join(folder, &format!("{PREFIX}{}_{name}.md", self.work.name)).ok()?;
        Some((self.replication.rosters().current().zone_of(&path).ok()?, path))
    }

    /// The note, if it is there, is this node's own by its id, and lies where it was made: what somebody moved is theirs.
    fn noted_trouble(&self, name: &str) -> Option<(FileId, VaultPath)> {
        let (zone, path) = self.place_of_trouble(name)?;
        let file = self.free_or_live(zone, &path);
        let is_there = self.vault.index().get(file).is_some() && self.path_of(file).as_ref() == Some(&path);
        is_there.then_some((file, path))
    }

    fn write_trouble(&mut self, now: Timestamp, name: &str) {
        let Some(lasting) = self.work.troubles.lasting.get_mut(name) else { return };
        let Some(trouble) = lasting.trouble.clone() else { return };
        let (since, count) = (lasting.since, lasting.count);
        (lasting.written, lasting.said) = (now, Some((trouble.clone(), count)));
        let Trouble { name: about, class, what, fix } = trouble;
        let [about, what, fix] = [about, what, fix].map(|text| inert::escape_line(&inert::one_line(&text, 1_000)));
        let text = format!(
            "---\ntype: trouble\nclass: {}\nsince: {since}\ncount: {count}\n---\n# {about}\n\n{what}\n\n{fix}\n\n{}\n",
            class.as_str(),
            class.treatment()
        );
        let Some((zone, path)) = self.place_of_trouble(name) else { return };
        let (file, is_there) = match self.noted_trouble(name) {
            Some((file, _)) => (file, true),
            None => (self.free_or_live(zone, &path), false),
        };
        if !is_there && self.vault.index().get(file).is_some() {
            // Somebody moved it: it is told once, and theirs.
            return;
        }
        self.write_own(now, (file, path), text, !is_there);
    }

    /// It is over: its note goes out of sight, and stays in the history.
    fn put_trouble_away(&mut self, now: Timestamp, name: &str) {
        if let Some((file, _)) = self.noted_trouble(name) {
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

/// A word for the note's name; where it leaves something out, with what tells it from others.
fn file_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let short: String = name.chars().map(plain).take(NAME_CHARS_MAX).collect();
    let is_whole = name.chars().count() <= NAME_CHARS_MAX
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == ' ');
    let short = short.trim_matches('-');
    if is_whole { short.to_owned() } else { format!("{short}-{}", &ContentHash::of(name.as_bytes()).to_string()[..6]) }
}
