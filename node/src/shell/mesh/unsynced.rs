//! What lies in the vault and does not sync, and what the vault's disk does not take: as it is now, for `status`, `doctor`
//! and `conflicts`.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use aiemp_protocol::vault_path::VaultPath;

use crate::shell::{
    control::{DISK_FULL, READ_ONLY, WireTrouble, WireUnsynced},
    vault_disk::{DiskError, SkipReason},
};

/// Names that an answer holds; a person who reads so many looks into the vault.
const NAMED_MAX: usize = 1000;
/// What is not refused again within this time is not tried any more, or done: it is tried every five seconds.
const TRIED_WITHIN: Duration = Duration::from_secs(30);

/// Both, by place.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    /// Scans that began.
    scans: u64,
    /// Names that were not looked into, and how many scans had begun when that was told.
    skipped: BTreeMap<String, (SkipReason, u64)>,
    /// What could not be written or removed, and when it was tried last.
    refused: BTreeMap<VaultPath, (Told, Instant)>,
}

/// Why something does not sync, and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    reason: &'static str,
    what: &'static str,
    fix: &'static str,
    /// Whether it is not about one file.
    is_of_disk: bool,
}

impl Unsynced {
    /// A scan begins: what is told from here on it may have come too early for.
    pub(super) const fn scan_begins(&mut self) {
        self.scans += 1;
    }

    /// A scan ended, and skipped these: what it passed over no more is well.
    pub(super) fn scan_ended(&mut self, skipped: Vec<(String, SkipReason)>) {
        let scans = self.scans;
        skipped.into_iter().for_each(|(name, reason)| self.skip(name, reason));
        self.skipped.retain(|_, (_, since)| *since >= scans);
    }

    /// What was looked at alone: these were taken, or are gone, and those skipped.
    pub(super) fn looked_at<'p>(
        &mut self,
        taken: impl Iterator<Item = &'p VaultPath>,
        skipped: Vec<(String, SkipReason)>,
    ) {
        for path in taken {
            self.skipped.remove(path.as_str());
        }
        skipped.into_iter().for_each(|(name, reason)| self.skip(name, reason));
    }

    /// Each is told once.
    fn skip(&mut self, name: String, reason: SkipReason) {
        if self.skipped.get(&name).is_none_or(|(told, _)| *told != reason) {
            tracing::warn!(name, reason = reason.as_str(), "not synced");
        }
        self.skipped.insert(name, (reason, self.scans));
    }

    /// The disk did not take it, or took it at last. A disk that takes nothing is told once, and not for each file.
    pub(super) fn written(&mut self, path: VaultPath, refused: Option<&DiskError>, now: Instant) {
        let Some(error) = refused else {
            self.refused.remove(&path);
            return;
        };
        let told = of_error(error);
        let is_known = match self.refused.get(&path) {
            Some((before, _)) => *before == told,
            None => told.is_of_disk && self.refused.values().any(|(before, _)| *before == told),
        };
        if !is_known {
            tracing::error!(%error, "a file could not be written or removed; it is tried again, and told by `aiemp-node conflicts`");
        }
        self.refused.insert(path, (told, now));
    }

    /// What is the matter with the disk as a whole.
    pub(super) fn troubles(&mut self, now: Instant) -> Vec<WireTrouble> {
        self.forget_old(now);
        let mut counts: BTreeMap<&str, (Told, usize)> = BTreeMap::new();
        for (told, _) in self.refused.values().filter(|(told, _)| told.is_of_disk) {
            counts.entry(told.reason).or_insert((*told, 0)).1 += 1;
        }
        let trouble = |(told, count): (Told, usize)| WireTrouble {
            is_error: true,
            what: format!("{}: {} waiting to be written or removed", told.what, files(count)),
            fix: told.fix.to_owned(),
        };
        counts.into_values().map(trouble).collect()
    }

    /// The first of them by name, and how many there are. What is gone meanwhile is none.
    pub(super) fn listed(&mut self, root: &Path, now: Instant) -> (Vec<WireUnsynced>, usize) {
        self.forget_old(now);
        let wire = |path: &str, told: Told| WireUnsynced {
            path: path.to_owned(),
            reason: told.reason.to_owned(),
            what: told.what.to_owned(),
            fix: told.fix.to_owned(),
        };
        let refused = self.refused.iter().map(|(path, (told, _))| wire(path.as_str(), *told));
        self.skipped.retain(|name, _| may_lie(root, name));
        let skipped = self.skipped.iter().map(|(name, (reason, _))| wire(name, of_skipped(*reason)));
        let all = self.skipped.len() + self.refused.len();
        (skipped.chain(refused).take(NAMED_MAX).collect(), all)
    }

    fn forget_old(&mut self, now: Instant) {
        self.refused.retain(|_, (_, tried)| now.saturating_duration_since(*tried) <= TRIED_WITHIN);
    }
}

/// A name that is no text cannot be looked for as it is shown.
fn may_lie(root: &Path, name: &str) -> bool {
    name.contains(char::REPLACEMENT_CHARACTER) || root.join(name).symlink_metadata().is_ok()
}

fn files(count: usize) -> String {
    if count == 1 { "1 file is".to_owned() } else { format!("{count} files are") }
}

const fn of_skipped(reason: SkipReason) -> Told {
    let (what, fix) = match reason {
        SkipReason::Symlink => {
            ("a symbolic link, which is not followed", "Put the file or folder itself there, or move the link away.")
        }
        SkipReason::HardLink => (
            "a file with further names (hard links), perhaps outside the vault",
            "Put a copy of it in its place: `cp FILE COPY && mv COPY FILE`.",
        ),
        SkipReason::Special => ("a socket, pipe or device", "Move it out of the vault."),
        SkipReason::Name => {
            ("a name that not every system can write", "Rename it without `\\`, `:` and control characters.")
        }
        SkipReason::TooLarge => ("larger than 32 MiB", "Move it out of the vault, or make it smaller."),
        SkipReason::Twin => (
            "the name of another file here but for case, dots at its end or the form of its letters",
            "Rename one of the two.",
        ),
        SkipReason::Busy => ("being written all the time", "It is read when the program that writes it stops."),
        SkipReason::Unreadable => {
            ("not readable for the node's user", "Give that user the right to read it, and to enter its folder.")
        }
    };
    Told { reason: reason.as_str(), what, fix, is_of_disk: false }
}

const fn of_error(error: &DiskError) -> Told {
    let (reason, what, fix, is_of_disk) = match error {
        DiskError::Full { .. } => {
            (DISK_FULL, "the vault's disk is full", "Free some space; nothing was lost, and it is tried again.", true)
        }
        DiskError::ReadOnly { .. } => {
            (READ_ONLY, "the vault's disk is read-only", "Mount it writable; it is tried again.", true)
        }
        DiskError::Name { .. } => (
            "name_refused",
            "the vault's file system takes no such name",
            "Rename it, or its folder, on a node that has it; or keep the vault on another file system.",
            false,
        ),
        DiskError::Denied { .. } => (
            "no_permission",
            "the node's user may not write or remove it here",
            "Give that user read and write access to the file and its folder.",
            false,
        ),
        DiskError::TooLarge { .. } => {
            ("too_large", "what lies in its place is larger than 32 MiB", "Move that out of the vault.", false)
        }
        DiskError::Unsteady { .. } => {
            ("busy", "changed each time it was about to be written", "Close the program that keeps changing it.", false)
        }
        DiskError::OtherFileSystem { .. } => {
            ("other_disk", "on another file system than the vault's top", "Keep the whole vault on one.", false)
        }
        DiskError::Escape { .. } => {
            ("symlink", "a symbolic link is on the way to it", "Put the file or folder itself there.", false)
        }
        DiskError::InTheWay { .. } => {
            ("in_the_way", "something else is in its place", "Move that to another name.", false)
        }
        DiskError::Io { .. } => (
            "disk_error",
            "the disk refuses it; the node's log says more",
            "Check that the disk is sound and the vault still mounted.",
            false,
        ),
    };
    Told { reason, what, fix, is_of_disk }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> VaultPath {
        VaultPath::parse(text).expect("a valid path")
    }

    fn reasons(unsynced: &mut Unsynced, root: &Path) -> Vec<(String, String)> {
        let (listed, all) = unsynced.listed(root, Instant::now());
        assert_eq!(listed.len(), all);
        assert!(listed.iter().all(|told| !told.what.is_empty() && told.fix.ends_with('.')));
        listed.into_iter().map(|told| (told.path, told.reason)).collect()
    }

    #[test]
    fn what_is_skipped_is_listed_until_it_is_taken_gone_or_passed_by_a_scan() {
        let root = tempfile::tempdir().expect("a folder");
        for name in ["a:b.md", "linked.md", "large.md"] {
            std::fs::write(root.path().join(name), name).expect("written");
        }
        let of = |pairs: &[(&str, &str)]| -> Vec<_> {
            pairs.iter().map(|(name, reason)| ((*name).to_owned(), (*reason).to_owned())).collect()
        };
        let mut unsynced = Unsynced::default();
        unsynced.scan_begins();
        unsynced.looked_at([].iter(), vec![("linked.md".to_owned(), SkipReason::HardLink)]);
        unsynced.scan_ended(vec![
            ("a:b.md".to_owned(), SkipReason::Name),
            ("large.md".to_owned(), SkipReason::TooLarge),
            ("gone.md".to_owned(), SkipReason::TooLarge),
        ]);
        let all = [("a:b.md", "name"), ("large.md", "too_large"), ("linked.md", "hard_link")];
        assert_eq!(reasons(&mut unsynced, root.path()), of(&all), "told while the scan ran counts beside it");
        unsynced.looked_at([path("linked.md")].iter(), Vec::new());
        assert_eq!(reasons(&mut unsynced, root.path()), of(&all[..2]));
        unsynced.scan_begins();
        unsynced.scan_ended(vec![("a:b.md".to_owned(), SkipReason::Name)]);
        assert_eq!(reasons(&mut unsynced, root.path()), of(&all[..1]));
    }

    #[test]
    fn what_the_disk_refuses_is_listed_until_it_takes_it_or_nobody_tries_any_more() {
        let root = Path::new("/nowhere");
        let (mut unsynced, now) = (Unsynced::default(), Instant::now());
        let name = DiskError::Name { path: "/nowhere/why?.md".into() };
        let full = || DiskError::Full { path: "/nowhere/a.md".into() };
        unsynced.written(path("why?.md"), Some(&name), now);
        unsynced.written(path("a.md"), Some(&full()), now);
        unsynced.written(path("b.md"), Some(&full()), now);
        let listed: Vec<_> = reasons(&mut unsynced, root).into_iter().map(|(_, reason)| reason).collect();
        assert_eq!(listed, ["disk_full", "disk_full", "name_refused"]);
        let troubles = unsynced.troubles(now);
        assert_eq!(troubles.len(), 1, "of the disk as a whole");
        assert_eq!(troubles[0].what, "the vault's disk is full: 2 files are waiting to be written or removed");
        unsynced.written(path("a.md"), None, now);
        assert!(unsynced.troubles(now)[0].what.contains(": 1 file is waiting"));
        let later = now + TRIED_WITHIN + Duration::from_millis(1);
        unsynced.written(path("why?.md"), Some(&name), later);
        assert!(unsynced.troubles(later).is_empty());
        assert_eq!(unsynced.listed(root, later).1, 1);
    }
}
