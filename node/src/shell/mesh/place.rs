//! Where the vault is: looked at before what is seen there counts, for a folder that was moved away, replaced or not
//! mounted looks like the removal of everything.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use aiemp_keys::NodeId;
use anyhow::Result;
use tokio::sync::oneshot;

use super::{
    Mesh,
    troubles::{self, Lacks},
};
use crate::{
    core::Input,
    fault::Fault,
    shell::{
        control::{Response, WireTrouble},
        store,
        vault_disk::{DiskEvent, FolderId, Lying, Owner, VaultDisk, VaultWatcher, look, owners},
    },
};

/// Whether the next start takes what lies at the vault's path for the vault, in the store.
pub(super) const FILL: &str = "fill_vault";
/// How long an answer may take to reach who asked on this machine.
const ANSWER_TIME: Duration = Duration::from_millis(300);

/// How long a folder that is deleted as a whole may take to go after its mark went.
const UNMARKED_WAIT: Duration = Duration::from_secs(3);

/// Why the vault is not in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Away {
    /// Nothing lies there.
    Missing,
    /// A folder lies there that is not this home's vault.
    Other,
    /// The folder there is the vault of another node.
    Anothers(Owner),
    /// The folder is the vault, and its `.aiemp` was deleted, without which nothing can be written.
    Unmarked,
    /// It cannot be opened.
    Unopened(String),
}

impl Away {
    /// What an operator reads, and what to do.
    pub fn told(&self, root: &Path) -> Fault {
        let shown = root.display();
        let (message, fix) = match self {
            Self::Missing => (
                format!("the vault is not at {shown}; nothing is written, and nothing counts as removed"),
                "Mount it, or move it back. If it is lost for good, make an empty folder there and run `aiemp-node \
                 vault fill`."
                    .to_owned(),
            ),
            Self::Other => (
                format!(
                    "the folder at {shown} is not this node's vault; nothing is written there, and nothing counts as removed"
                ),
                "Put the vault back in its place, or mount it. If this folder is to be the vault from now on, run \
                 `aiemp-node vault fill`: all files are written into it, and what lies there already syncs."
                    .to_owned(),
            ),
            Self::Anothers(owner) => (
                format!("{}; nothing is written there, and nothing counts as removed", anothers(root, owner)),
                format!(
                    "Give this node a folder of its own: `vault` in config.toml. If the other node is gone for good, run \
                     `aiemp-node vault fill`, or delete {}.",
                    owner.mark.display()
                ),
            ),
            Self::Unmarked => (
                format!(
                    "the folder .aiemp was deleted from the vault at {shown}; until it is back nothing is written, and nothing \
                     counts as removed"
                ),
                "The node makes it again and starts again in a moment. Leave that folder to the node: saves that a merge \
                 displaced are kept there."
                    .to_owned(),
            ),
            Self::Unopened(why) => (
                format!(
                    "the vault at {shown} cannot be opened; nothing is written, and nothing counts as removed: {why}"
                ),
                "Put that right; the node looks again every few seconds.".to_owned(),
            ),
        };
        Fault::operator("vault_away", message, fix)
    }
}

/// Two nodes on one folder would each take what the other writes for the person's work.
pub fn anothers(root: &Path, owner: &Owner) -> String {
    let home = owner.home.as_ref().map(|home| format!(" at {}", home.display())).unwrap_or_default();
    format!("the folder at {} is the vault of the node{home}", root.display())
}

/// What this process knows of the vault's folder.
#[derive(Debug)]
pub(super) struct Place {
    home: PathBuf,
    root: PathBuf,
    node: NodeId,
    at_start: Lying,
    /// The folder that is open.
    open: Option<FolderId>,
    away: Option<Away>,
    /// Since when the open folder lacks its mark.
    unmarked_since: Option<Instant>,
    starts_again: bool,
    lacks: Lacks,
    /// Whether the disk thread left something undone.
    has_missed: bool,
}

/// Which folders a start takes for the vault that this node did not mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    None,
    Free,
    Any,
}

fn not_ours(root: &Path, node: NodeId) -> Away {
    owners(root, Some(node)).into_iter().next().map_or(Away::Other, Away::Anothers)
}

/// What a look found.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    Same,
    Left,
    Back,
}

impl Place {
    /// Looks at the start. A home that was told to takes any folder for its vault, one that knows of no file yet any that is
    /// not another node's.
    pub(super) fn at_start(home: &Path, root: &Path, node: NodeId, takes: Takes) -> Self {
        let at_start = look(root, node);
        let away = match (at_start, takes) {
            (Lying::Nothing, _) => Some(Away::Missing),
            (Lying::Folder { is_ours: true, .. }, _) | (Lying::Folder { .. }, Takes::Any) => None,
            (Lying::Folder { .. }, Takes::Free) => Some(not_ours(root, node)).filter(|away| *away != Away::Other),
            (Lying::Folder { .. }, Takes::None) => Some(not_ours(root, node)),
        };
        let home = std::path::absolute(home).unwrap_or_else(|_| home.to_owned());
        let root = root.to_owned();
        Self {
            home,
            root,
            node,
            at_start,
            open: None,
            away,
            unmarked_since: None,
            starts_again: false,
            lacks: Lacks::default(),
            has_missed: false,
        }
    }

    /// Opens the vault and marks it, if it is in its place.
    pub(super) fn open(&mut self) -> Option<VaultDisk> {
        if self.away.is_some() {
            return None;
        }
        let opened = VaultDisk::open(&self.root).and_then(|disk| disk.mark(self.node, &self.home).map(|()| disk));
        match opened {
            Ok(disk) => {
                self.open = Some(disk.folder());
                self.lacks = Lacks { exchange: disk.fallback(), telling: disk.remote() };
                Some(disk)
            }
            Err(error) => {
                self.away = Some(Away::Unopened(error.to_string()));
                None
            }
        }
    }

    /// Why the vault is not in its place, if it is not.
    pub(super) const fn away(&self) -> Option<&Away> {
        self.away.as_ref()
    }

    /// Whether the process has to start again to open what lies there: its wall does not move.
    pub(super) const fn starts_again(&self) -> bool {
        self.starts_again
    }

    /// The disk thread left something undone, for the vault was away.
    pub(super) const fn missed(&mut self) {
        self.has_missed = true;
    }

    fn look(&mut self) -> Look {
        let lying = look(&self.root, self.node);
        let now = match lying {
            Lying::Nothing => Some(Away::Missing),
            Lying::Folder { id, is_ours } if Some(id) == self.open => (!is_ours).then(|| self.unmarked()),
            Lying::Folder { is_ours: true, .. } => self.opens_again(lying),
            Lying::Folder { is_ours: false, .. } => Some(not_ours(&self.root, self.node)),
        };
        if !matches!(now, Some(Away::Unmarked | Away::Unopened(_))) {
            self.unmarked_since = None;
        }
        let is_same = now.is_some() == self.away.is_some();
        self.away = now;
        match (is_same, &self.away) {
            (true, _) => Look::Same,
            (false, Some(_)) => Look::Left,
            (false, None) => Look::Back,
        }
    }

    /// The open folder lost its mark. If it stays so, and was not being deleted as a whole, it is marked anew for a process
    /// that starts again: this one holds the folder that was deleted.
    fn unmarked(&mut self) -> Away {
        if self.unmarked_since.get_or_insert_with(Instant::now).elapsed() >= UNMARKED_WAIT {
            let marked = VaultDisk::open(&self.root).and_then(|disk| disk.mark(self.node, &self.home));
            match marked {
                Ok(()) => self.starts_again = true,
                Err(error) => return Away::Unopened(error.to_string()),
            }
        }
        Away::Unmarked
    }

    /// Another folder that is this home's vault came: only a process that starts now opens it. One that lay there at this
    /// process's start and could not be opened is tried.
    fn opens_again(&mut self, lying: Lying) -> Option<Away> {
        if lying == self.at_start
            && let Err(error) = VaultDisk::open(&self.root)
        {
            return Some(Away::Unopened(error.to_string()));
        }
        self.starts_again = true;
        self.away.clone().or(Some(Away::Other))
    }
}

impl Mesh {
    /// Looks where the vault is. While it is away nothing is written and nothing counts as removed; once the same folder
    /// is back, it is scanned.
    pub(super) async fn look_at_place(&mut self) -> Result<()> {
        match self.place.look() {
            Look::Same => {}
            Look::Left => self.tell_away().await?,
            Look::Back => {
                tracing::info!(vault = %self.place.root.display(), "the vault is in its place again");
                self.place.has_missed = true;
                self.handle(Input::PlaceChecked { is_away: false }).await?;
            }
        }
        if self.place.away.is_none() && std::mem::take(&mut self.place.has_missed) {
            self.disk_event(DiskEvent::Rescan).await?;
        }
        if self.place.starts_again {
            tracing::info!(vault = %self.place.root.display(), "the vault is in its place; the node starts again to open it");
        }
        Ok(())
    }

    /// What is the matter with the vault's folder.
    pub(super) fn troubles(&mut self) -> Vec<WireTrouble> {
        let refused = self.unsynced.troubles(Instant::now());
        let place = &self.place;
        let away = place.away.as_ref().map(|away| troubles::away(away, &place.root));
        let held = self.core.vault().removals_held();
        let removals = (held > 0).then(|| troubles::removals(held));
        let unwatched = self.watcher.as_ref().and_then(VaultWatcher::unwatched);
        let unwatched = unwatched.map(|why| troubles::unwatched(&why));
        away.into_iter().chain(removals).chain(refused).chain(place.lacks.told()).chain(unwatched).collect()
    }

    /// Where the vault is away, everybody is told.
    pub(super) async fn tell_away(&mut self) -> Result<()> {
        let Some(away) = &self.place.away else { return Ok(()) };
        let Fault { message, fix, .. } = away.told(&self.place.root);
        tracing::error!("{message}. {fix}");
        self.handle(Input::PlaceChecked { is_away: true }).await
    }

    /// Takes the folder that lies at the vault's path for the vault, by starting again.
    pub(super) async fn fill_vault(&mut self, answer: oneshot::Sender<Response>) -> Result<()> {
        self.look_at_place().await?;
        let refused = match &self.place.away {
            None => Some("the vault is in its place, and filled already".to_owned()),
            Some(away @ (Away::Missing | Away::Unmarked | Away::Unopened(_))) => {
                Some(away.told(&self.place.root).to_string())
            }
            Some(Away::Other | Away::Anothers(_)) => None,
        };
        let response = match refused {
            Some(message) => Response::BadRequest { message },
            None => {
                let write = store::Write::Meta { key: FILL.to_owned(), value: vec![1] };
                self.store.send(store::Command::Write(write)).await?;
                self.store.flush().await?;
                self.place.starts_again = true;
                Response::Done
            }
        };
        // The asker may have gone away.
        answer.send(response).ok();
        if self.place.starts_again {
            // So that the answer is out before the process ends.
            tokio::time::sleep(ANSWER_TIME).await;
        }
        Ok(())
    }
}
