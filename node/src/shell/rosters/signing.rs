//! Signing the next roster of a mesh, without forgetting the ones that were signed.
//!
//! A chain verifies itself, and so does an older, shorter one: whoever writes `roster/` could have the root key sign a
//! second roster of one epoch. So the chain also lies among the keys, where no process writes that runs on its own, and
//! before anybody sees a new roster it is durable there.

use std::fs::File;

use aiemp_keys::{Signer, private_file};
use aiemp_protocol::roster::{Roster, RosterChain, RosterError, SignedRoster};
use anyhow::{Context, Result};

use super::{forked, keep_fork, load, store};
use crate::{fault::Fault, home::Home};

/// The rosters of a home, for the one command that may sign the next.
#[derive(Debug)]
pub struct Signing {
    home: Home,
    rosters: RosterChain,
    /// Two commands at once would sign two rosters of one epoch.
    _lock: File,
}

impl Signing {
    /// What is known here, of the chain on disk and of the one among the keys; each is completed by the other. `None`
    /// when the node belongs to no mesh yet.
    ///
    /// Refused where they are of two meshes, or show that the root key signed twice. Call it before a key is open.
    pub fn begin(home: &Home) -> Result<Option<Self>> {
        let lock = lock(home)?;
        let (signed, held) = (remembered(home)?, load(home)?);
        let mut rosters = match (&signed, &held) {
            (None, None) => return Ok(None),
            (Some(one), _) | (None, Some(one)) => one.clone(),
        };
        for roster in held.iter().flat_map(|held| held.after(0)) {
            rosters.extend(&roster).map_err(|error| refused(home, &rosters, &error))?;
        }
        let mut signing = Self { home: home.clone(), rosters: rosters.clone(), _lock: lock };
        signing.publish(rosters)?;
        Ok(Some(signing))
    }

    /// Begins with the first roster of a mesh.
    pub fn found(home: &Home, rosters: RosterChain) -> Result<()> {
        Self { home: home.clone(), rosters: rosters.clone(), _lock: lock(home)? }.publish(rosters)
    }

    /// What the next roster follows.
    pub const fn rosters(&self) -> &RosterChain {
        &self.rosters
    }

    /// Signs the next roster; it is durable, and others see it, when this returns.
    pub fn sign(&mut self, root: &Signer, next: Roster) -> Result<()> {
        let mut rosters = self.rosters.clone();
        rosters.extend(&SignedRoster::sign(root, next).to_bytes())?;
        self.publish(rosters)
    }

    /// Takes up a chain that follows this one, as [`Signing::sign`] does.
    pub fn publish(&mut self, rosters: RosterChain) -> Result<()> {
        let path = self.home.signed_rosters();
        private_file::write_private(&path, &rosters.to_bytes()).context("cannot remember the roster")?;
        // Since it was read, somebody may have put another one there.
        let current = rosters.current();
        let held = load(&self.home)?;
        if held.is_some_and(|held| held.at(current.epoch).is_some_and(|held| held.hash() != current.hash())) {
            return Err(refused(&self.home, &rosters, &RosterError::Fork { epoch: current.epoch }).into());
        }
        store(&self.home, &rosters)?;
        self.rosters = rosters;
        Ok(())
    }
}

/// The epoch of the newest roster that is remembered among the keys, where the chain on disk lacks it.
pub fn missing_epoch(home: &Home, held: &RosterChain) -> Result<Option<u64>> {
    let newest = remembered(home)?.map(|signed| (signed.current().epoch, signed.current().hash()));
    Ok(newest.filter(|(epoch, hash)| held.at(*epoch).map(Roster::hash) != Some(*hash)).map(|(epoch, _)| epoch))
}

fn remembered(home: &Home) -> Result<Option<RosterChain>> {
    let path = home.signed_rosters();
    let Some(bytes) = private_file::find_private(&path)? else { return Ok(None) };
    let chain = RosterChain::from_bytes(bytes.expose());
    chain
        .map(Some)
        .with_context(|| format!("{} is no roster chain that verifies: restore it from a backup", path.display()))
}

fn lock(home: &Home) -> Result<File> {
    let folder = home.signed();
    private_file::create_private_dir(&folder)?;
    let file = File::open(&folder).with_context(|| format!("cannot open {}", folder.display()))?;
    if file.try_lock().is_err() {
        let message = "another command that signs rosters is at work";
        return Err(Fault::operator("busy", message, "Wait until it ends, then run this again.").into());
    }
    Ok(file)
}

/// What the chain on disk shows beside `signed`, which is kept as proof where the root key signed twice.
fn refused(home: &Home, signed: &RosterChain, error: &RosterError) -> Fault {
    if let RosterError::Fork { epoch } = *error {
        if let Some(bytes) = signed.after(epoch - 1).next() {
            // Without it this refuses just the same.
            keep_fork(home, &bytes).ok();
        }
        return forked(epoch);
    }
    let path = home.rosters();
    let message = format!("{} does not belong to the rosters that were signed here: {error}", path.display());
    let fix =
        "Find out who put it there and move it away; then run this again, which brings back the one that was signed.";
    Fault::refused("foreign_roster", message, fix)
}
