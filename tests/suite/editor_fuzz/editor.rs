//! One side's programs and the person who uses them: everything that is done to the files of one vault.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::{self, Seek, Write},
    path::PathBuf,
    sync::Mutex,
    thread,
    time::Duration,
};

use aiemp_node::{
    home::Home,
    shell::control::{Client, Request, Response},
};
use aiemp_protocol::vault_path::VaultPath;
use aiemp_tests::random::Rng;
use data_encoding::BASE64;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{
    change::changed,
    provenance::{Provenance, now_ms},
    verdict::words_of,
};
use crate::node::{Node, collect};

/// Folders that both sides may write, and one that Cloud may not.
const FOLDERS: [&str; 7] = ["Plans", "Plans", "Plans/social", "Updates", "Signals", "Needs_Action/email", "Done"];
/// Folders whose files are looked at.
const TOPS: [&str; 5] = ["Plans", "Updates", "Signals", "Needs_Action", "Done"];
const NAMES: [&str; 8] =
    ["a.md", "b.md", "C.md", "note d.md", "log.txt", "\u{1f4c5} Plan \u{2013} Q1.md", "r\u{e9}union.md", "scan.bin"];
/// A vault of this size is tidied rather than added to.
const FILES_MAX: usize = 40;
/// How often a save begins anew whose folder vanished.
const TRIES: usize = 100;

/// How programs save.
#[derive(Clone, Copy, Debug)]
enum Save {
    /// Over the old bytes, then cut to length.
    InPlace,
    /// The same with a pause in the middle: a beginning of the new text lies over the old one for a while.
    InPlaceSlowly,
    /// Cut to nothing, then written.
    Truncate,
    /// The same in two parts: for a while there is a beginning alone.
    TruncateSlowly,
    /// Written beside under a hidden name, then renamed over.
    Rename,
    /// Written beside under a name that syncs, in two parts, then renamed over.
    RenameSlowly,
    /// The old one moved aside, a new one written, the old one removed.
    Backup,
    /// The same, where what was moved aside has a name that syncs.
    BackupInSight,
}

const SAVES: [Save; 10] = [
    Save::InPlace,
    Save::InPlaceSlowly,
    Save::Truncate,
    Save::TruncateSlowly,
    Save::Rename,
    Save::Rename,
    Save::Rename,
    Save::RenameSlowly,
    Save::Backup,
    Save::BackupInSight,
];

/// A text that was opened and is not saved yet.
#[derive(Debug)]
struct Opened {
    path: String,
    read: Vec<u8>,
}

/// A save whose end is not written yet.
#[derive(Debug)]
struct Unfinished {
    path: String,
    file: File,
    rest: Vec<u8>,
}

/// The programs of one side.
#[derive(Debug)]
pub(super) struct Editor<'d> {
    pub(super) by: &'static str,
    pub(super) rng: Rng,
    vault: PathBuf,
    /// Where its node answers.
    socket: PathBuf,
    provenance: &'d Mutex<Provenance>,
    opened: Vec<Opened>,
    unfinished: Vec<Unfinished>,
    /// Where files were removed.
    gone: Vec<String>,
    /// How often each thing was done.
    pub(super) did: BTreeMap<&'static str, usize>,
    /// How many files got another name, for they had twins.
    parted: usize,
    /// Whether the node may answer: where it stands still, asking would wait for it.
    pub(super) node_runs: bool,
}

impl<'d> Editor<'d> {
    pub(super) fn new(node: &Node, rng: Rng, provenance: &'d Mutex<Provenance>) -> Self {
        let (by, vault, socket) = (node.role, node.vault.clone(), Home::at(&node.home).control_socket());
        let (opened, unfinished, gone, did) = (Vec::new(), Vec::new(), Vec::new(), BTreeMap::new());
        Self { by, rng, vault, socket, provenance, opened, unfinished, gone, did, parted: 0, node_runs: true }
    }

    /// One thing that a person or a program does.
    pub(super) fn act(&mut self) {
        self.part_twins();
        let files = self.files();
        let some = self.rng.pick(&files).cloned();
        let (what, path) = match (self.rng.below(100), some) {
            (0..10, _) | (_, None) => ("new", self.some_place()),
            (_, Some(path)) if files.len() > FILES_MAX => ("remove", path),
            (10..24, Some(path)) => ("append", path),
            (24..52, Some(path)) => ("edit", path),
            (52..60, Some(path)) => ("open", path),
            (60..70, Some(path)) => ("save what was opened", path),
            (70..75, Some(path)) => ("begin a save", path),
            (75..84, Some(path)) => ("move", path),
            (84..86, Some(path)) => ("move a folder", path),
            (86..90, Some(path)) => ("change the case of a name", path),
            (90..95, Some(path)) => ("remove", path),
            (_, Some(path)) => ("make again", path),
        };
        *self.did.entry(what).or_default() += 1;
        match what {
            "new" => self.edit(&path),
            "append" => self.append(&path),
            "edit" => self.edit(&path),
            "open" => self.open(path),
            "save what was opened" => self.save_opened(&path),
            "begin a save" => self.begin(&path),
            "move" => self.move_somewhere(&path),
            "move a folder" => self.move_folder(&path),
            "change the case of a name" => self.change_case(&path),
            "remove" => self.remove(&path),
            _ => self.make_again(),
        }
        self.finish_some();
    }

    /// Saves what is open, and writes the ends of all saves.
    pub(super) fn finish(&mut self) {
        while let Some(opened) = self.opened.pop() {
            self.save(&opened.path, &opened.read);
        }
        self.end_saves();
    }

    /// Writes the ends of all saves that were begun.
    pub(super) fn end_saves(&mut self) {
        while let Some(unfinished) = self.unfinished.pop() {
            self.write_end(unfinished);
        }
    }

    /// Gives another name to one of two files whose names differ only in their case. Such files do not sync: a save under
    /// a name that the other side has just changed makes one.
    pub(super) fn part_twins(&mut self) {
        let files = self.files();
        let key = |path: &String| VaultPath::parse(path).map_or_else(|_| path.clone(), |path| path.key());
        let mut keys = BTreeSet::new();
        for twin in files.iter().filter(|path| !keys.insert(key(path))) {
            self.parted += 1;
            let (folder, name) = twin.rsplit_once('/').unwrap_or(("", twin));
            self.rename(twin, &format!("{folder}/{}{} {name}", self.by, self.parted));
        }
    }

    /// The files that can be seen, by their paths below the vault.
    fn files(&self) -> Vec<String> {
        let mut found = BTreeMap::new();
        TOPS.iter().for_each(|top| collect(&self.vault.join(top), top, &mut found));
        found.into_keys().collect()
    }

    fn some_place(&mut self) -> String {
        let folder = FOLDERS[self.rng.below(FOLDERS.len())];
        let name = NAMES[self.rng.below(NAMES.len())];
        match self.rng.below(8) {
            0 => format!("{folder}/new {}/{name}", self.rng.below(5)),
            _ => format!("{folder}/{name}"),
        }
    }

    fn read(&self, path: &str) -> Vec<u8> {
        fs::read(self.vault.join(path)).unwrap_or_default()
    }

    fn told(&self) -> std::sync::MutexGuard<'d, Provenance> {
        self.provenance.lock().expect("nobody panics here")
    }

    fn word(&self) -> String {
        self.told().word()
    }

    fn edit(&mut self, path: &str) {
        let read = self.read(path);
        self.save(path, &read);
    }

    /// Saves a text with one edit, made from what was read a moment or a long time ago. Where it would take away what
    /// another program of this side has just saved, it is read again: no node can know of what lay on a disk for so short.
    fn save(&mut self, path: &str, read: &[u8]) {
        self.end_save_of(path);
        let word = self.word();
        let on_disk = self.read(path);
        let taken_away = self.told().takes_away(self.by, &on_disk, read);
        let read = if self.node_knows(path, &taken_away) { read } else { &on_disk };
        let text = changed(&mut self.rng, path, read, &word);
        let how = SAVES[self.rng.below(SAVES.len())];
        self.told().saves(self.by, &format!("{how:?}"), path, read, &text);
        let pause = self.pause();
        until_it_goes(|| self.write(path, how, &text, pause));
    }

    /// Whether the node has taken in these words, however busy the machine is: it says them of the place.
    fn node_knows(&self, path: &str, words: &BTreeSet<String>) -> bool {
        if words.is_empty() || !self.node_runs {
            return words.is_empty();
        }
        let Ok(Some(mut client)) = Client::connect(&self.socket) else { return false };
        let request = Request::Past { path: path.to_owned(), at_ms: now_ms(), restore: false };
        let Ok(Response::Past { contents, .. }) = client.ask(&request) else { return false };
        let contents = contents.iter().flatten().filter_map(|content| BASE64.decode(content.as_bytes()).ok());
        let known: BTreeSet<String> = contents.flat_map(|bytes| words_of(&bytes).collect::<Vec<_>>()).collect();
        words.is_subset(&known)
    }

    /// A pause in the middle of a save: within what passes for one save, or past it.
    fn pause(&mut self) -> Duration {
        Duration::from_millis(self.rng.between(1, 90))
    }

    fn write(&self, path: &str, how: Save, text: &[u8], pause: Duration) -> io::Result<()> {
        let at = self.vault.join(path);
        let folder = at.parent().expect("a note lies in a folder");
        let name = at.file_name().expect("a note has a name").to_string_lossy().into_owned();
        fs::create_dir_all(folder)?;
        let (begin, end) = halves(text);
        // What lies beside belongs to nobody else: a program that writes over it would take what another saved there.
        let once = now_ms();
        let in_place = || OpenOptions::new().write(true).create(true).truncate(false).open(&at);
        match how {
            Save::InPlace => {
                let mut file = in_place()?;
                file.write_all(text)?;
                file.set_len(text.len() as u64)
            }
            Save::InPlaceSlowly => {
                let mut file = in_place()?;
                file.write_all(begin)?;
                thread::sleep(pause);
                file.write_all(end)?;
                file.set_len(text.len() as u64)
            }
            Save::Truncate => fs::write(&at, text),
            Save::TruncateSlowly => {
                let mut file = File::create(&at)?;
                file.write_all(begin)?;
                thread::sleep(pause);
                file.write_all(end)
            }
            Save::Rename => {
                let beside = folder.join(format!(".{name}.swp"));
                fs::write(&beside, text)?;
                fs::rename(beside, &at)
            }
            Save::RenameSlowly => {
                let beside = folder.join(format!("{name}.{once}.tmp"));
                let mut file = File::create(&beside)?;
                file.write_all(begin)?;
                thread::sleep(pause);
                file.write_all(end)?;
                // Whoever looks at the folder may have taken it away.
                fs::rename(&beside, &at).or_else(|_| fs::write(&at, text))
            }
            Save::Backup | Save::BackupInSight => {
                let hidden = if matches!(how, Save::Backup) { "." } else { "" };
                let aside = folder.join(format!("{hidden}{name}.{once}~"));
                let was_there = fs::rename(&at, &aside).is_ok();
                fs::write(&at, text)?;
                if was_there { fs::remove_file(aside).or(Ok(())) } else { Ok(()) }
            }
        }
    }

    /// Adds a line without reading what is there.
    fn append(&mut self, path: &str) {
        self.end_save_of(path);
        let line = format!("{}\n", self.word());
        let at = self.vault.join(path);
        self.told().saves(self.by, "append", path, b"", line.as_bytes());
        until_it_goes(|| {
            fs::create_dir_all(at.parent().expect("a note lies in a folder"))?;
            OpenOptions::new().create(true).append(true).open(&at)?.write_all(line.as_bytes())
        });
    }

    /// Opens a text, to be saved a while later: whatever comes meanwhile, its editor does not see.
    fn open(&mut self, path: String) {
        let read = self.read(&path);
        self.opened.push(Opened { path, read });
    }

    fn save_opened(&mut self, instead: &str) {
        let at = self.rng.below(self.opened.len());
        if self.opened.is_empty() {
            return self.edit(instead);
        }
        let opened = self.opened.swap_remove(at);
        self.save(&opened.path, &opened.read);
    }

    /// Begins a save in place; its end is written some steps later, wherever the file lies then.
    fn begin(&mut self, path: &str) {
        self.end_save_of(path);
        let (read, word) = (self.read(path), self.word());
        let text = changed(&mut self.rng, path, &read, &word);
        self.told().saves(self.by, "begun", path, &read, &text);
        let (begin, end) = halves(&text);
        let opened = OpenOptions::new().write(true).open(self.vault.join(path));
        match opened {
            Ok(mut file) => {
                file.write_all(begin).expect("the beginning is written");
                self.unfinished.push(Unfinished { path: path.to_owned(), file, rest: end.to_vec() });
            }
            Err(_) => until_it_goes(|| self.write(path, Save::Truncate, &text, Duration::ZERO)),
        }
    }

    fn end_save_of(&mut self, path: &str) {
        while let Some(at) = self.unfinished.iter().position(|unfinished| unfinished.path == path) {
            let unfinished = self.unfinished.remove(at);
            self.write_end(unfinished);
        }
    }

    fn finish_some(&mut self) {
        if self.unfinished.len() > 2 || self.rng.chance(30) {
            let unfinished = (!self.unfinished.is_empty()).then(|| self.unfinished.remove(0));
            unfinished.into_iter().for_each(|unfinished| self.write_end(unfinished));
        }
    }

    fn write_end(&self, mut unfinished: Unfinished) {
        let Unfinished { path, file, rest } = &mut unfinished;
        let end = file.write_all(rest).and_then(|()| file.stream_position());
        end.and_then(|end| file.set_len(end)).expect("the end is written");
        self.told().happened(self.by, format!("ends the save of {path}"));
    }

    fn move_somewhere(&mut self, from: &str) {
        let mut to = self.some_place();
        if self.rng.chance(60) {
            let folder = to.rsplit_once('/').map_or("", |(folder, _)| folder);
            let name = from.rsplit('/').next().unwrap_or(from);
            to = format!("{folder}/{name}");
        }
        self.rename(from, &to);
    }

    fn change_case(&mut self, path: &str) {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut letters = name.chars();
        let first: String = letters.next().map(swapped).unwrap_or_default();
        self.rename(path, &format!("{folder}/{first}{}", letters.as_str()));
    }

    /// Moves a file unless something lies there.
    fn rename(&mut self, from: &str, to: &str) {
        self.end_save_of(from);
        let content = self.read(from);
        let (at, place) = (self.vault.join(from), self.vault.join(to));
        if from == to || fs::create_dir_all(place.parent().expect("a note lies in a folder")).is_err() {
            return;
        }
        if renameat_with(CWD, at, CWD, place, RenameFlags::NOREPLACE).is_ok() {
            self.told().moved(self.by, from, to, &content);
        }
    }

    /// Moves the folder of a file, with all that is in it, unless it is one of those that give their files a meaning.
    fn move_folder(&mut self, path: &str) {
        let Some((folder, _)) = path.rsplit_once('/').filter(|(folder, _)| folder.contains("/new ")) else {
            return self.move_somewhere(path);
        };
        let to = format!("{}/new {}", FOLDERS[self.rng.below(2)], 5 + self.rng.below(5));
        self.end_saves();
        let inside = self.files().into_iter().filter(|file| file.starts_with(&format!("{folder}/")));
        let inside: Vec<_> = inside.map(|file| (self.read(&file), file)).collect();
        if renameat_with(CWD, self.vault.join(folder), CWD, self.vault.join(&to), RenameFlags::NOREPLACE).is_ok() {
            for (content, file) in inside {
                self.told().moved(self.by, &file, &file.replacen(folder, &to, 1), &content);
            }
        }
    }

    fn remove(&mut self, path: &str) {
        self.end_save_of(path);
        let read = self.read(path);
        if fs::remove_file(self.vault.join(path)).is_ok() {
            self.told().removed(self.by, path, &read);
            self.gone.push(path.to_owned());
        }
    }

    /// A file is made where one was removed.
    fn make_again(&mut self) {
        let place = self.rng.pick(&self.gone).cloned();
        let place = place.unwrap_or_else(|| self.some_place());
        self.edit(&place);
    }
}

/// The node takes folders away that hold nothing, also one that was made for a file.
fn until_it_goes(mut save: impl FnMut() -> io::Result<()>) {
    let is_done = |result: &io::Result<()>| !matches!(result, Err(error) if error.kind() == io::ErrorKind::NotFound);
    let done = (0..TRIES).map(|_| save()).find(is_done);
    done.expect("the folder stays for once").expect("a save into the own vault");
}

/// The two parts of a save that takes a while; no word is cut.
fn halves(text: &[u8]) -> (&[u8], &[u8]) {
    let middle = text.len() / 2;
    text.split_at(text[..middle].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1))
}

fn swapped(letter: char) -> String {
    if letter.is_lowercase() { letter.to_uppercase().collect() } else { letter.to_lowercase().collect() }
}
