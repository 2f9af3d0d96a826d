//! Files that vanished from the disk: each counts as removed after a moment, and many within seconds wait for a person.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use aiemp_keys::cbor;
use aiemp_protocol::{
    ids::{Audience, ConflictId},
    time::Timestamp,
};

use super::{
    Choice, HoldReason, Output, Projection, Vault,
    local::{MOVE_GRACE, REMOVAL_GRACE},
    open::Task,
};
use crate::conflict::{self, Conflict, ConflictKind, Side};

/// How long removals count as one: a script that empties a vault takes its time, a person who tidies up takes more.
const WINDOW: Duration = Duration::from_secs(10);
/// So many within that time wait for a person: at least this many, and this share of all files that the same members read,
/// so that no number of files that others make lets a person's own go unasked.
const FILES_MIN: usize = 10;
const SHARE: usize = 4;
/// Files that an item names; a person who sees so many knows which folder it is.
const NAMED_MAX: usize = 20;

/// What vanished, beside the places that are missing.
#[derive(Debug, Default)]
pub(super) struct Removals {
    /// What was archived for it of late, oldest first.
    counted: VecDeque<(Timestamp, String, Projection)>,
    /// Missing places that wait for a person.
    held: BTreeSet<String>,
    /// The item's id, and since when it is open.
    item: Option<(ConflictId, Timestamp)>,
    /// Whether the last run ended with some waiting: what is missing at the start is that.
    were_held: bool,
}

impl Vault {
    /// The last run ended while removals waited for a person.
    pub const fn removals_were_held(&mut self) {
        self.removals.were_held = true;
    }

    pub(super) const fn removals_held_before(&self) -> bool {
        self.removals.were_held
    }

    /// How many removed files wait for a person.
    pub fn removals_held(&self) -> usize {
        self.removals.held.len()
    }

    /// When the next missing file counts as removed.
    pub(super) fn next_removal(&self) -> Option<Timestamp> {
        let counts = self.missing.iter().filter(|(key, _)| !self.removals.held.contains(*key));
        counts.map(|(_, since)| *since + REMOVAL_GRACE).min()
    }

    /// Judges what has been missing for long enough.
    pub(super) fn judge_removals(&mut self) {
        let now = self.now;
        let is_due =
            |(key, since): &(&String, &Timestamp)| **since + REMOVAL_GRACE <= now && !self.removals.held.contains(*key);
        let due: Vec<_> = self.missing.iter().filter(is_due).map(|(key, _)| key.clone()).collect();
        self.removals.counted.retain(|(at, ..)| *at + WINDOW > now);
        let removed: Vec<_> = due.into_iter().filter(|key| self.is_removed(key)).collect();
        if removed.is_empty() {
            return;
        }
        if self.are_many(&removed) || self.removals.were_held || self.removals.item.is_some() {
            self.hold_removals(removed);
        } else {
            removed.into_iter().for_each(|key| self.remove(&key, true));
        }
    }

    /// Whether these, with what was removed just before, are so many that a person is asked.
    fn are_many(&self, removed: &[String]) -> bool {
        let audience = |there: &Projection| there.file.zone.audience();
        [Audience::All, Audience::Local].into_iter().any(|of| {
            let is_of = |there: &&Projection| audience(there) == of;
            let on_disk = self.on_disk.values().map(|there| &**there);
            let before = self.removals.counted.iter().map(|(.., there)| there).filter(is_of).count();
            let now = removed.iter().filter_map(|key| self.there(key)).filter(is_of).count();
            let all = on_disk.filter(is_of).count() + before;
            before + now >= FILES_MIN && (before + now) * SHARE >= all
        })
    }

    /// Whether it is a removal, and not the end of a move.
    fn is_removed(&mut self, key: &String) -> bool {
        let Some(projection) = self.there(key).cloned() else {
            self.missing.remove(key);
            return false;
        };
        if let Some((to, since)) = self.not_taken.remove(&projection.hash)
            && since + MOVE_GRACE > self.now
        {
            self.moved_out(key, to);
            return false;
        }
        if self.place_of(projection.file) != Some(&**key) {
            self.missing.remove(key);
            self.forget_place(key.clone());
            return false;
        }
        true
    }

    /// What lay at the place is gone because a person wants it gone.
    fn remove(&mut self, key: &str, counts: bool) {
        self.missing.remove(key);
        let Some(projection) = self.there(key).cloned() else { return };
        let (file, hash) = (projection.file, projection.hash);
        self.forget_place(key.to_owned());
        if self.boundaries.may_archive(file.zone) {
            if counts {
                self.removals.counted.push_back((self.now, key.to_owned(), projection));
            }
            // What was removed is what lay there; a note that says more by now comes back.
            self.with_document(file, Task::ArchiveAs(hash));
        } else {
            let reason = HoldReason::NotWritable;
            self.outputs.push_back(Output::Hold { path: projection.path, bytes: Vec::new(), reason });
            self.project(file);
        }
    }

    /// Lets removals wait, and with them those of the same seconds that counted already.
    fn hold_removals(&mut self, removed: Vec<String>) {
        self.removals.were_held = false;
        self.removals.held.extend(removed);
        for (_, key, projection) in std::mem::take(&mut self.removals.counted) {
            let file = projection.file;
            if self.there(&key).is_some() || self.places.contains_key(&file) {
                continue;
            }
            self.bring_back(file);
            if self.is_live(file) {
                self.record_projection(key.clone(), Some(projection));
                self.missing.insert(key.clone(), self.now);
                self.removals.held.insert(key);
            }
        }
        let first = self.removals.held.first().and_then(|key| self.there(key)).cloned();
        if let Some(first) = first.filter(|_| self.removals.item.is_none()) {
            let at = cbor::Value::Integer(self.now.as_millis().into());
            let id = conflict::id_of(first.file, "mass removal", self.me.to_value(), at);
            self.removals.item = Some((id, self.now));
            self.outputs.push_back(Output::NoteHeldRemovals(true));
            let reason = HoldReason::MassRemoval;
            self.outputs.push_back(Output::Hold { path: first.path, bytes: Vec::new(), reason });
        }
    }

    /// Files that came back wait no longer.
    pub(super) fn forget_found(&mut self) {
        if self.removals.item.is_none() {
            return;
        }
        self.removals.held.retain(|key| self.missing.contains_key(key));
        if self.removals.held.is_empty() {
            self.removals.item = None;
            // What was not decided while the folder is away is asked again when it is back.
            self.removals.were_held = self.is_away;
            if !self.is_away {
                self.outputs.push_back(Output::NoteHeldRemovals(false));
            }
        }
    }

    /// At the start all is there that waited.
    pub(super) fn none_is_missing(&mut self) {
        if self.removals.were_held && self.missing.is_empty() && !self.is_away {
            self.removals.were_held = false;
            self.outputs.push_back(Output::NoteHeldRemovals(false));
        }
    }

    /// Whether nothing is missing of which it is not known yet whether it was removed.
    pub(super) fn removals_are_settled(&self) -> bool {
        self.missing.keys().all(|key| self.removals.held.contains(key))
    }

    /// The removals that wait, as an item of this node's list.
    pub(super) fn removal_item(&self) -> Option<Conflict> {
        let (id, since) = self.removals.item?;
        let held: Vec<_> = self.removals.held.iter().filter_map(|key| self.there(key)).collect();
        let first = held.first()?;
        let (gone, removed) = match held.len() {
            1 => ("1 file is gone here:".to_owned(), "1 file was removed".to_owned()),
            count => (format!("{count} files are gone here:"), format!("{count} files were removed")),
        };
        let mut text = gone;
        for projection in held.iter().take(NAMED_MAX) {
            text.push_str(&format!("\n{}", projection.path));
        }
        if let Some(more) = held.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
            text.push_str(&format!("\nand {more} more"));
        }
        Some(Conflict {
            id,
            kind: ConflictKind::MassRemoval,
            file: first.file,
            path: first.path.clone(),
            field: None,
            line: None,
            base: None,
            sides: vec![Side { node: Some(self.me), text, hlc: since }],
            merged: format!(
                "{removed} within seconds. What is gone stays on the other nodes until you decide, and is not written here."
            ),
            found: Vec::new(),
        })
    }

    /// The removals that wait were meant, or all that waits is written again.
    pub(super) fn resolve_removals(&mut self, choice: &Choice) {
        let held = std::mem::take(&mut self.removals.held);
        self.removals.item = None;
        self.outputs.push_back(Output::NoteHeldRemovals(false));
        for key in held {
            if matches!(choice, Choice::Side(_)) {
                self.remove(&key, false);
            } else if let Some(file) = self.there(&key).map(|there| there.file) {
                self.missing.remove(&key);
                self.forget_place(key);
                self.project(file);
            }
        }
    }
}
