//! Which changed paths have been left alone for long enough. Knows the time only as it is told.

use std::{
    collections::BTreeMap,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use notify::{
    Event, EventKind,
    event::{CreateKind, ModifyKind, RemoveKind},
};

use crate::shell::vault_disk::{
    reading::{QUIET, QUIET_WAIT_MAX},
    written::Written,
};

/// After this a new folder is watched in most cases.
const FOLDER_WATCHED: Duration = Duration::from_millis(10);
/// How long folders must be left alone before a rescan: unpacking an archive is one change.
const FOLDERS_QUIET: Duration = Duration::from_millis(100);
/// When a rescan comes at the latest.
const FOLDERS_WAIT_MAX: Duration = Duration::from_secs(1);
/// Paths that wait at once; beyond this a rescan is cheaper.
const WAITING_MAX: usize = 16_384;

/// Changed paths relative to the vault's top, and whether folders changed.
#[derive(Debug)]
pub(super) struct Settle {
    top: PathBuf,
    waiting: BTreeMap<PathBuf, Waiting>,
    /// New folders, and when to look into them.
    created: BTreeMap<PathBuf, Instant>,
    /// What this node makes itself.
    written: Written,
    rescan: Option<Waiting>,
    rescan_at: Option<Instant>,
}

/// A path whose time has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) path: PathBuf,
    /// Whether it is still being changed.
    pub(super) is_busy: bool,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    first: Instant,
    last: Instant,
}

impl Waiting {
    fn due(self, quiet: Duration, wait_max: Duration) -> Instant {
        (self.last + quiet).min(self.first + wait_max)
    }
}

impl Settle {
    pub(super) fn new(top: &Path, written: Written) -> Self {
        let (waiting, created) = (BTreeMap::new(), BTreeMap::new());
        Self { top: top.to_owned(), waiting, created, written, rescan: None, rescan_at: None }
    }

    /// Takes in an event of the system.
    pub(super) fn note(&mut self, event: &Event, now: Instant) {
        if event.need_rescan() {
            return self.rescan(now);
        }
        let is_new_folder = event.kind == EventKind::Create(CreateKind::Folder);
        let is_folder = is_new_folder || event.kind == EventKind::Remove(RemoveKind::Folder);
        let is_top_gone = !matches!(event.kind, EventKind::Modify(ModifyKind::Metadata(_)));
        let mut noted = Vec::new();
        for path in &event.paths {
            if has_dot_name(&self.top, path) {
                continue;
            }
            let is_own = is_new_folder && self.written.take_folder(path);
            let Ok(path) = path.strip_prefix(&self.top) else { continue };
            if path.as_os_str().is_empty() {
                if is_top_gone {
                    self.rescan(now);
                }
            } else if is_folder {
                let has_room = self.created.len() < WAITING_MAX;
                if !is_own || !has_room {
                    self.rescan(now);
                }
                if is_new_folder && has_room {
                    self.created.insert(path.to_owned(), now + FOLDER_WATCHED);
                }
            } else {
                noted.push(path.to_owned());
            }
        }
        // Both ends of a rename wait for each other.
        let first = noted.iter().filter_map(|path| self.waiting.get(path)).map(|waiting| waiting.first).min();
        for path in noted {
            self.waiting.insert(path, Waiting { first: first.unwrap_or(now), last: now });
        }
        if self.waiting.len() > WAITING_MAX {
            self.waiting.clear();
            self.rescan(now);
        }
    }

    /// A path must be looked at again.
    pub(super) fn again(&mut self, path: PathBuf, now: Instant) {
        self.waiting.entry(path).or_insert(Waiting { first: now, last: now });
    }

    /// A rescan is needed, once folders are left alone.
    pub(super) fn rescan(&mut self, now: Instant) {
        self.rescan.get_or_insert(Waiting { first: now, last: now }).last = now;
    }

    /// A rescan is needed after a while, unless one comes before.
    pub(super) fn rescan_in(&mut self, now: Instant, wait: Duration) {
        self.rescan_at = Some(now + wait);
    }

    /// When something is due.
    pub(super) fn due_at(&self) -> Option<Instant> {
        let paths = self.waiting.values().map(|waiting| waiting.due(QUIET, QUIET_WAIT_MAX));
        paths.chain(self.created.values().copied()).chain(self.rescan_due_at()).min()
    }

    /// The paths that are due.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Due> {
        let is_due = |waiting: &Waiting| waiting.due(QUIET, QUIET_WAIT_MAX) <= now;
        let due = self.waiting.extract_if(.., |_, waiting| is_due(waiting));
        due.map(|(path, waiting)| Due { path, is_busy: waiting.last + QUIET > now }).collect()
    }

    /// New folders to look into: what lies there already is told like what comes from now on.
    pub(super) fn take_created(&mut self, now: Instant) -> Vec<PathBuf> {
        self.created.extract_if(.., |_, at| *at <= now).map(|(path, _)| path).collect()
    }

    /// Whether a rescan is due; it is then no longer.
    pub(super) fn take_rescan(&mut self, now: Instant) -> bool {
        let is_due = self.rescan_due_at().is_some_and(|at| at <= now);
        if is_due {
            (self.rescan, self.rescan_at) = (None, None);
        }
        is_due
    }

    fn rescan_due_at(&self) -> Option<Instant> {
        let settled = self.rescan.map(|waiting| waiting.due(FOLDERS_QUIET, FOLDERS_WAIT_MAX));
        settled.into_iter().chain(self.rescan_at).min()
    }
}

/// Whether a name on the way from the top to a path begins with a dot: what lies there does not sync.
pub(super) fn has_dot_name(top: &Path, path: &Path) -> bool {
    let below = path.as_os_str().as_bytes().strip_prefix(top.as_os_str().as_bytes());
    below.is_some_and(|below| below.windows(2).any(|pair| pair == b"/."))
}

#[cfg(test)]
mod tests {
    use notify::event::{DataChange, Flag, RenameMode};

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn settle() -> Settle {
        Settle::new(Path::new("/v"), Written::default())
    }

    fn event(kind: EventKind, names: &[&str]) -> Event {
        names.iter().fold(Event::new(kind), |event, name| event.add_path(Path::new("/v").join(name)))
    }

    fn written(name: &str) -> Event {
        event(EventKind::Modify(ModifyKind::Data(DataChange::Any)), &[name])
    }

    fn due(path: &str, is_busy: bool) -> Due {
        Due { path: path.into(), is_busy }
    }

    #[test]
    fn a_path_is_due_when_it_was_quiet() {
        let (mut settle, start) = (settle(), Instant::now());
        settle.note(&written("a.md"), start);
        settle.note(&written("a.md"), start + 20 * MS);
        assert_eq!(settle.due_at(), Some(start + 50 * MS));
        assert_eq!(settle.take_due(start + 49 * MS), []);
        assert_eq!(settle.take_due(start + 50 * MS), [due("a.md", false)]);
        assert_eq!(settle.due_at(), None);
    }

    #[test]
    fn a_path_that_is_never_quiet_is_due_after_a_while() {
        let (mut settle, start) = (settle(), Instant::now());
        for at in 0..50 {
            settle.note(&written("a.md"), start + at * 10 * MS);
        }
        assert_eq!(settle.take_due(start + 499 * MS), []);
        assert_eq!(settle.take_due(start + 500 * MS), [due("a.md", true)]);
    }

    #[test]
    fn both_ends_of_a_rename_are_due_together() {
        let (mut settle, start) = (settle(), Instant::now());
        settle.note(&written("a.md"), start);
        let renamed = EventKind::Modify(ModifyKind::Name(RenameMode::Both));
        settle.note(&event(renamed, &["a.md", "b.md"]), start + 10 * MS);
        assert_eq!(settle.take_due(start + 39 * MS), []);
        assert_eq!(settle.take_due(start + 40 * MS), [due("a.md", false), due("b.md", false)]);
    }

    #[test]
    fn dot_names_and_other_places_are_not_noted() {
        let (mut settle, start) = (settle(), Instant::now());
        for name in [".aiemp/tmp-1", ".git/x/y", "a/.b.swp", "/elsewhere/c"] {
            settle.note(&written(name), start);
        }
        settle.note(&event(EventKind::Create(CreateKind::Folder), &[".git"]), start);
        assert_eq!(settle.due_at(), None);
    }

    #[test]
    fn lost_events_folders_and_the_top_itself_ask_for_one_rescan() {
        let (mut settle, start) = (settle(), Instant::now());
        let lost = Event::new(EventKind::Other).set_flag(Flag::Rescan);
        for event in [
            lost,
            event(EventKind::Create(CreateKind::Folder), &["a"]),
            event(EventKind::Remove(RemoveKind::Folder), &["a"]),
            event(EventKind::Modify(ModifyKind::Name(RenameMode::From)), &[""]),
        ] {
            settle.note(&event, start);
            assert!(!settle.take_rescan(start + 99 * MS));
            assert!(settle.take_rescan(start + 100 * MS), "{event:?}");
            assert!(!settle.take_rescan(start + 100 * MS));
        }
    }

    #[test]
    fn a_folder_that_this_node_made_is_looked_into_and_asks_for_no_rescan() {
        let (mut settle, start) = (settle(), Instant::now());
        settle.written.note_folder(Path::new("/v/a"));
        settle.note(&event(EventKind::Create(CreateKind::Folder), &["a"]), start);
        assert_eq!(settle.take_created(start + FOLDER_WATCHED), [PathBuf::from("a")]);
        assert_eq!(settle.due_at(), None);
        settle.note(&event(EventKind::Remove(RemoveKind::Folder), &["a"]), start);
        assert!(settle.take_rescan(start + 100 * MS));
        settle.note(&event(EventKind::Create(CreateKind::Folder), &["a"]), start);
        assert!(settle.take_rescan(start + 100 * MS), "the next one is another's");
    }

    #[test]
    fn a_flood_of_paths_becomes_a_rescan() {
        let (mut settle, start) = (settle(), Instant::now());
        for at in 0..=WAITING_MAX {
            settle.note(&written(&format!("{at}.md")), start);
        }
        assert_eq!(settle.take_due(start + 500 * MS), []);
        assert!(settle.take_rescan(start + 100 * MS));
    }
}
