//! What comes by other ways than mail: files that were dropped, messages of webhooks, events of watchers. Each becomes a task.

use aiemp_crdt::{
    index::FileRecord,
    vault::{self, HoldReason},
};
use aiemp_protocol::{
    egress::{Cleared, Held},
    ids::{ContentHash, FileId, WorkId},
    limits::BLOB_BYTES_MAX,
    time::Timestamp,
    vault_path::VaultPath,
    zone::Zone,
};

use super::{
    Core,
    agent::{Step, Told},
    mail,
    output::Notice,
    work::in_domain,
};

/// How much of a dropped file's name stands in that of its task.
const NAME_BYTES_MAX: usize = 80;
/// The longest word that tells what kind of thing came.
const KIND_BYTES_MAX: usize = 32;

/// Something that came.
#[derive(Clone, Debug, Default)]
pub struct Arrival {
    /// What brought it: `drop`, or the name of a webhook or a watcher.
    pub source: String,
    /// What tells it from all else of that source: coming again it is the same task.
    pub id: String,
    /// A word for the note's `type`: lower-case letters, digits and `_`.
    pub kind: String,
    /// The folder below `Needs_Action/`.
    pub domain: String,
    /// Whether it is for Local nodes alone.
    pub is_private: bool,
    /// Who it is from; may be empty.
    pub from: String,
    /// What it is about; may be empty.
    pub subject: String,
    /// When it was sent, if its source says so.
    pub received: Option<Timestamp>,
    /// What it says.
    pub text: String,
    /// Instead of a task: the bank whose statement the file is.
    pub bank: Option<String>,
    /// A file that came, by its name.
    pub file: Option<(String, Vec<u8>)>,
}

/// What becomes of it in the vault.
struct Taken {
    work: WorkId,
    task: VaultPath,
    note: String,
    /// Whether the file came as one.
    is_dropped: bool,
    file: Option<(VaultPath, Vec<u8>)>,
}

impl Core {
    /// Makes a task of it. It is told as done once that is durable, also where it came before.
    pub(super) fn take_arrival(&mut self, now: Timestamp, request: u64, arrival: Arrival) -> Step {
        if let (Some(bank), Some((name, bytes))) = (&arrival.bank, &arrival.file) {
            return self.take_statement(now, request, bank, (name, bytes.clone()));
        }
        let is_private = arrival.is_private;
        let taken = self.taken(arrival)?;
        let zone = self.writable_zone(&taken.task)?;
        if is_private != (zone == Zone::Private) {
            let readers = if is_private { "Local nodes alone" } else { "every member" };
            return Err(format!("`{}` does not lie where {readers} may read it; choose another domain", taken.task));
        }
        // Coming again it may say something else: what this node made of its id is its task. What another member made is it
        // only where it says the same, or whoever guesses an id would keep what comes under it away.
        let (note_hash, me) = (ContentHash::of(taken.note.as_bytes()), self.work.me);
        let is_it =
            |record: &FileRecord, hash| record.had_base(hash) || record.base.has_any(|origin| origin.author() == me);
        let task = FileId::for_work(zone, taken.work, "task");
        let task = self.vault.standing_for(task, |record| is_it(record, note_hash));
        let told = Told::Done { work: Some(taken.work), path: taken.task.clone() };
        if self.vault.index().get(task).is_some() {
            return Ok(Some(told));
        }
        // A message that the guard holds is kept for the person, whole; a file stays where it was dropped.
        let whole = match &taken.file {
            Some(_) if taken.is_dropped => None,
            Some((_, bytes)) => Some(bytes.clone()),
            None => Some(taken.note.clone().into_bytes()),
        };
        let file = taken.file.map(|(path, bytes)| {
            let content = ContentHash::of(&bytes);
            let file = FileId::for_work(zone, taken.work, &format!("file:{content}"));
            (self.vault.standing_for(file, |record| is_it(record, content)), path, bytes)
        });
        let cleared: Result<Vec<_>, _> = file
            .into_iter()
            .chain([(task, taken.task.clone(), taken.note.into_bytes())])
            .map(|(file, path, bytes)| {
                self.guard.clear_file(&path, zone.audience(), bytes).map(|content| (file, path, content))
            })
            .collect();
        let cleared: Vec<(FileId, VaultPath, Cleared<Vec<u8>>)> = match cleared {
            Ok(cleared) => cleared,
            Err(why) => return self.arrival_held(taken.task, whole, why).map(|()| Some(told)),
        };
        // In the log in this order: with the task the file is durable as well.
        self.await_file(now, task, request, told);
        for (file, path, content) in cleared {
            self.vault_input(now, vault::Input::CreateRequested { file, path, content });
        }
        self.notice(Notice::ArrivalTaken { work: taken.work, path: taken.task });
        Ok(None)
    }

    fn arrival_held(&mut self, path: VaultPath, whole: Option<Vec<u8>>, why: Held) -> Result<(), String> {
        let Some(bytes) = whole else {
            // A release is of a text that waits in the vault; this one waits outside.
            let why = why.to_string();
            let why = why.split(": take it out").next().unwrap_or_default();
            return Err(format!("the guard holds it: {why}"));
        };
        self.notice(Notice::Kept { path: path.clone(), bytes, reason: HoldReason::Secret });
        self.notice(Notice::Held { path, why });
        Ok(())
    }

    fn writable_zone(&self, path: &VaultPath) -> Result<Zone, String> {
        let zone = self.replication.rosters().current().zone_of(path).map_err(|why| format!("`{path}`: {why}"))?;
        if self.vault.may_write(zone) { Ok(zone) } else { Err(format!("`{path}` is not this node's to write")) }
    }

    /// What becomes of it: a function of the arrival alone, so that it is one note at whichever node it comes.
    fn taken(&self, arrival: Arrival) -> Result<Taken, String> {
        if !is_kind(&arrival.kind) {
            return Err("its kind is a word of at most 32 lower-case letters, digits and `_`".to_owned());
        }
        if arrival.id.is_empty() {
            return Err("it has no id, by which it would be known if it came again".to_owned());
        }
        let folder = if arrival.is_private { "Private/Needs_Action" } else { "Needs_Action" };
        let path = |name: &str| in_domain(folder, &arrival.domain, name).map_err(|error| format!("`{name}`: {error}"));
        let source = format!("arrival {}", arrival.source);
        let work = WorkId::of_source(self.work.mesh, &source, &[arrival.id.as_str()]);
        let id = mail::note_id(&work);
        let is_dropped = arrival.file.is_some();
        let (task, file) = match arrival.file {
            Some((name, bytes)) => {
                if bytes.len() > BLOB_BYTES_MAX {
                    return Err(format!("it is larger than {} MiB", BLOB_BYTES_MAX >> 20));
                }
                // Behind another name it would be what it is.
                let as_it_is = VaultPath::join("Inbox", &name).map_err(|error| error.to_string())?;
                if as_it_is.name() != name {
                    return Err(format!("`{name}` is no name of a file"));
                }
                let zone = self.replication.rosters().current().zone_of(&as_it_is);
                zone.map_err(|why| format!("`{name}`: {why}"))?;
                let name = numbered(&name, &id);
                (path(&format!("{name}.md"))?, Some((path(&name)?, bytes)))
            }
            None => (path(&format!("{}_{id}.md", arrival.kind.to_uppercase()))?, None),
        };
        let mut note = mail::FrontMatter::open(&arrival.kind);
        let given = |text: &str| Some(text).filter(|text| !text.is_empty()).map(str::to_owned);
        note.optional("from", given(&arrival.from).as_deref());
        note.optional("subject", given(&arrival.subject).as_deref());
        note.optional("received", arrival.received.map(|received| received.to_string()).as_deref());
        note.constant("priority", "normal");
        note.constant("status", "pending");
        note.value("work_id", &work.to_string());
        note.value("source", &arrival.source);
        if let Some((path, bytes)) = &file {
            note.value("file", path.as_str());
            note.value("size", &bytes.len().to_string());
        }
        let title = if arrival.subject.is_empty() { &arrival.kind } else { &arrival.subject };
        let (text, is_cut) = mail::arrival_body(note, title, &arrival.text, file.as_ref().map(|(path, _)| path.name()));
        // What the note has no room for stands whole beside it.
        let file = match file {
            None if is_cut => {
                Some((path(&format!("{}_{id}.txt", arrival.kind.to_uppercase()))?, arrival.text.into_bytes()))
            }
            file => file,
        };
        Ok(Taken { work, task, note: text, is_dropped, file })
    }
}

/// Whether it may stand in a note's `type`, and begin its name.
pub fn is_kind(word: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    (1..=KIND_BYTES_MAX).contains(&word.len()) && word.chars().all(is_letter)
}

/// `FILE_<name>_<id>.<extension>`: the name of a dropped file, told from others of that name. A note is none here, or its front
/// matter would be taken for that of a task.
fn numbered(name: &str, id: &str) -> String {
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && extension.len() <= 16 => (stem, format!(".{extension}")),
        Some(_) | None => (name, String::new()),
    };
    let stem = &stem[..stem.floor_char_boundary(NAME_BYTES_MAX)];
    let none = if extension.eq_ignore_ascii_case(".md") { ".txt" } else { "" };
    format!("FILE_{}_{id}{extension}{none}", stem.trim())
}
