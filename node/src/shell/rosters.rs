//! The roster chain on disk: it verifies itself, so any process may read it.

pub mod signing;

use aiemp_keys::private_file;
use aiemp_protocol::roster::{RosterChain, RosterError};
use anyhow::{Context, Result};

use crate::{fault::Fault, home::Home};

/// Moves the chain of an older home to where it lies now. Call it before processes start that may read only there.
pub fn adopt(home: &Home) -> Result<()> {
    private_file::create_private_dir(&home.roster_folder())?;
    if !home.rosters().exists() && home.old_rosters().exists() {
        std::fs::rename(home.old_rosters(), home.rosters()).context("cannot move the roster to its new place")?;
    }
    Ok(())
}

/// Reads the chain; `None` when the node belongs to no mesh yet.
pub fn load(home: &Home) -> Result<Option<RosterChain>> {
    let path = if home.rosters().exists() { home.rosters() } else { home.old_rosters() };
    match std::fs::read(&path) {
        Ok(bytes) => {
            let chain = RosterChain::from_bytes(&bytes);
            chain.map(Some).with_context(|| {
                format!("{} is not a roster chain that verifies: `aiemp-node doctor` says what to do", path.display())
            })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}: restore it from a backup", path.display())),
    }
}

/// Writes the chain unless a longer one is there already; the write is durable when this returns.
pub fn store(home: &Home, chain: &RosterChain) -> Result<()> {
    if load(home)?.is_some_and(|held| held.current().epoch >= chain.current().epoch) {
        return Ok(());
    }
    private_file::create_private_dir(&home.roster_folder())?;
    private_file::write_private(&home.rosters(), &chain.to_bytes()).context("cannot store the roster")
}

/// Keeps a roster that the root key signed beside one of the chain.
pub fn keep_fork(home: &Home, bytes: &[u8]) -> Result<()> {
    tracing::error!(
        "two rosters of one epoch exist: nothing is approved or executed any more; see `aiemp-node doctor`"
    );
    private_file::write_private(&home.roster_fork(), bytes).context("cannot keep the second roster")
}

/// The epoch of which two rosters exist, as far as this home knows. What proves it verifies itself: a file that proves
/// nothing is passed over.
pub fn forked_epoch(home: &Home, chain: &RosterChain) -> Option<u64> {
    let bytes = std::fs::read(home.roster_fork()).ok()?;
    match chain.clone().extend(&bytes) {
        Err(RosterError::Fork { epoch }) => Some(epoch),
        Ok(_) | Err(_) => None,
    }
}

/// What to say where [`forked_epoch`] is one.
pub fn forked(epoch: u64) -> Fault {
    let message = format!("two different rosters of epoch {epoch} exist, so the root key signed twice");
    let fix = "Somebody else has the root key, or an old copy of this home was used. Found a new mesh: `aiemp-node init` with another --home.";
    Fault::refused("roster_fork", message, fix)
}
