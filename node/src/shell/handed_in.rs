//! What a person approved and the executor has not sent: where it stands, and why.
//!
//! The executor tells by files beside its receipts, which the person may read also where the executor is another user: why
//! it ended last, and which approvals it refused. What it has taken up is looked at in its journal, where this user may.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use aiemp_keys::private_file;
use aiemp_protocol::{ids::ActionHash, limits::CLOCK_BEHIND_MAX, roster::Roster, time::Timestamp};
use serde::{Deserialize, Serialize};

use super::{clock, control::WireTrouble, free_space, freezes};
use crate::{
    executor::{self, Refused, journal_store::JournalStore},
    fault::{Fault, causes},
    home::Home,
};

/// With less than this no journal and no receipt is written.
const ROOM_NEEDED: u64 = 1 << 20;
/// An executor that runs takes up what is handed in within seconds.
const TAKEN_UP_WITHIN_MS: u64 = 60_000;
/// Refusals that are remembered; the oldest go.
const REFUSALS_MAX: usize = 100;

/// Why the executor ended, or did not start.
#[derive(Debug, Serialize, Deserialize)]
struct LastWords {
    what: String,
    fix: String,
}

/// Notes with what error the executor ends. A disk that is full takes no note: that is looked at by whoever asks. Nor is
/// it noted of a second one, beside which the first goes on.
pub fn note_end(home: &Home, error: &anyhow::Error) {
    let (what, fix) = match error.downcast_ref::<Fault>() {
        Some(fault) => (fault.message.clone(), fault.fix.clone()),
        None if error.is::<Refused>() => (causes(error), "Then start the node again.".to_owned()),
        None => (causes(error), "Then wait: the executor is started again, after 30 seconds at the latest.".to_owned()),
    };
    note(home, &LastWords { what, fix });
}

/// Notes that the executor was ended without a word of its own, as by a signal.
pub fn note_silent_end(home: &Home, how: &str) {
    if !home.executor_ended().exists() {
        let fix = "See the node's log. It is started again, after 30 seconds at the latest.".to_owned();
        note(home, &LastWords { what: format!("it was ended ({how})"), fix });
    }
}

fn note(home: &Home, words: &LastWords) {
    if executor::runs(home) {
        return;
    }
    let bytes = serde_json::to_vec(words).unwrap_or_default();
    if let Err(error) = private_file::write_private(&home.executor_ended(), &bytes) {
        tracing::warn!(%error, "cannot note why the executor ended");
    }
}

/// The executor runs.
pub fn note_running(home: &Home) {
    fs::remove_file(home.executor_ended()).ok();
}

/// Why the executor does not run, as it said itself.
pub fn executor_trouble(home: &Home) -> Option<WireTrouble> {
    let LastWords { what, fix } = serde_json::from_slice(&fs::read(home.executor_ended()).ok()?).ok()?;
    Some(WireTrouble { is_error: true, what: format!("the executor does not run, so nothing is sent: {what}"), fix })
}

/// Why an approval was refused, and when.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Refusal {
    /// Stable word for tools.
    pub code: String,
    /// Why.
    pub why: String,
    /// Milliseconds since the epoch.
    pub at_ms: u64,
}

fn refusal_of(home: &Home, action: &str) -> PathBuf {
    home.receipts().join(format!("{action}.refused"))
}

/// Remembers for the person why an approval was refused.
pub fn note_refusal(home: &Home, action: ActionHash, refusal: &Refusal) {
    let mut all = named(&home.receipts(), "refused");
    all.sort_by_key(|(_, changed_ms, _)| *changed_ms);
    let oldest = all.iter().take((all.len() + 1).saturating_sub(REFUSALS_MAX));
    oldest.for_each(|(.., path)| drop(fs::remove_file(path)));
    let bytes = serde_json::to_vec(refusal).unwrap_or_default();
    if let Err(error) = private_file::write_private(&refusal_of(home, &action.to_string()), &bytes) {
        tracing::warn!(%error, "cannot note why an approval was refused");
    }
}

/// An approval of this action was taken up.
pub fn forget_refusal(home: &Home, action: ActionHash) {
    fs::remove_file(refusal_of(home, &action.to_string())).ok();
}

/// Files by the word before the first `-` or `.`, with when they changed.
fn named(folder: &Path, extension: &str) -> Vec<(String, u64, PathBuf)> {
    let files = fs::read_dir(folder).into_iter().flatten().flatten().filter_map(|entry| {
        let path = entry.path();
        let name = path.file_name()?.to_str()?.strip_suffix(extension)?.strip_suffix('.')?;
        let action = name.split('-').next().filter(|action| !action.is_empty())?.to_owned();
        let changed = u64::try_from(entry.metadata().ok()?.mtime()).unwrap_or_default();
        Some((action, changed.saturating_mul(1_000), path))
    });
    files.collect()
}

/// What was handed to the executor and is not sent.
#[derive(Clone, Debug, Default)]
pub struct HandedIn {
    /// Actions whose approval lies where the executor takes it from.
    pub waiting: BTreeSet<String>,
    /// Actions whose approval was refused last.
    pub refused: BTreeMap<String, Refusal>,
    /// What is the matter with the executor.
    pub trouble: Option<WireTrouble>,
    is_frozen: bool,
    /// Of what the executor has taken up: what it waits for.
    taken_up: BTreeMap<String, String>,
}

impl HandedIn {
    /// Looks at the home as it is now. What the executor told last is not asked of a node that does not run: it may have
    /// been mended since.
    pub fn look(home: &Home, roster: &Roster, runs: bool) -> Self {
        let waiting = named(&home.approved(), "approval").into_iter().map(|(action, ..)| action).collect();
        let refusal = |path: PathBuf| serde_json::from_slice(&fs::read(path).ok()?).ok();
        let refused = named(&home.receipts(), "refused").into_iter();
        let refused = refused.filter_map(|(action, _, path)| Some((action, refusal(path)?))).collect();
        let journal = JournalStore::of_begun(home);
        let taken_up = journal.as_ref().and_then(|journal| journal.waiting().ok()).unwrap_or_default();
        let of_executor = || {
            executor_trouble(home).or_else(|| {
                let (now, seen) = (clock::now(), journal?.times().ok()?.guard);
                (now + CLOCK_BEHIND_MAX < seen).then(|| clock_behind(now, seen)).or_else(|| idle(home))
            })
        };
        let trouble = disk_trouble(home, runs).or_else(|| if runs { of_executor() } else { None });
        let is_frozen = freezes::load_readable(&home.freezes(), roster).stop(roster, roster.executor);
        Self { waiting, refused, trouble, is_frozen, taken_up: taken_up.into_iter().collect() }
    }

    /// What an approved action waits for.
    pub fn why(&self, action: &str) -> String {
        let frozen = || "the mesh is frozen; `aiemp-node unfreeze` lets it go on".to_owned();
        let general = self.trouble.as_ref().map(|trouble| format!("{}. {}", trouble.what, trouble.fix));
        let general = general.or_else(|| self.is_frozen.then(frozen));
        let own = self.taken_up.get(action).filter(|why| !why.is_empty()).cloned();
        general.or(own).unwrap_or_else(|| match self.waiting.contains(action) {
            true => "handed to the executor, which takes it up next".to_owned(),
            false => "the executor has it; it is sent as soon as its hand and the policy allow it".to_owned(),
        })
    }
}

/// An executor that runs and takes up nothing, as far as the files tell.
pub fn idle(home: &Home) -> Option<WireTrouble> {
    let oldest = named(&home.approved(), "approval").into_iter().map(|(_, changed_ms, _)| changed_ms).min()?;
    let is_long_ago = clock::now().as_millis().saturating_sub(oldest) > TAKEN_UP_WITHIN_MS;
    is_long_ago.then(|| WireTrouble {
        is_error: true,
        what: format!("the executor does not take up what was approved at {}", Timestamp::from_millis(oldest)),
        fix: "Look whether the node runs, and into its log; then start it again.".to_owned(),
    })
}

/// Without some space nothing is sent: each step is made durable first.
pub fn disk_trouble(home: &Home, runs: bool) -> Option<WireTrouble> {
    let fix = match runs {
        true => {
            "Free some space: nothing was lost, and what was approved is taken up again by itself. Should the node end \
             before that, for its store cannot be written either, start it again."
        }
        false => "Free some space, then start the node again: nothing was lost, and what was approved is taken up.",
    };
    is_disk_full(home).then(|| WireTrouble {
        is_error: true,
        what: format!("the disk below {} is full, so nothing is sent", home.path().display()),
        fix: fix.to_owned(),
    })
}

/// Whether no step of the executor can be made durable.
pub fn is_disk_full(home: &Home) -> bool {
    free_space::has_room(home.path(), ROOM_NEEDED, 0).is_ok_and(|has_room| !has_room)
}

/// The executor remembers the latest time it saw, and sends nothing while the clock is behind it.
pub fn clock_behind(now: Timestamp, seen: Timestamp) -> WireTrouble {
    WireTrouble {
        is_error: true,
        what: format!("the clock says {now}, but the executor has seen {seen}; nothing is sent until then"),
        fix: "Set the clock right. If it is right, it was once set forward: run `aiemp-node approvals settle-clock`."
            .to_owned(),
    }
}
