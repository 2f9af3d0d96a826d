//! Signing the next roster of a mesh, without forgetting the ones that were signed.
//!
//! A chain verifies itself, and so does an older, shorter one: whoever writes `roster/` could have the root key sign a
//! second roster of one epoch. So the chain also lies among the keys, where no process writes that runs on its own, and
//! before anybody sees a new roster it is durable there.

use std::{fs::File, io};

use aiemp_keys::{
    Signer,
    private_file::{self, PrivacyError},
};
use aiemp_protocol::roster::{Roster, RosterChain, RosterError, SignedRoster};
use anyhow::{Context, Result};

use super::{forked, keep_fork, load, store};
use crate::{
    executor::journal_store::JournalStore,
    fault::{Fault, causes},
    home::Home,
};

/// The rosters of a home, for the one command that may sign the next.
#[derive(Debug)]
pub struct Signing {
    home: Home,
    rosters: RosterChain,
    /// Two commands at once would sign two rosters of one epoch.
    _lock: File,
}

impl Signing {
    /// What is known here, of the chain on disk and of the one among the keys; each is completed by the other, and where
    /// the second is whole, a damaged first is put aside. `None` when the node belongs to no mesh yet.
    ///
    /// Refused where they are of two meshes, or show that the root key signed twice. Call it before a key is open.
    pub fn begin(home: &Home) -> Result<Option<Self>> {
        let lock = lock(home)?;
        let rosters = match remembered(home)? {
            Some(mut signed) => {
                if let Some(held) = held_or_aside(home)? {
                    complete(&mut signed, &held).map_err(|error| refused(home, &signed, &error))?;
                }
                signed
            }
            None => match load(home)? {
                Some(held) => held,
                None => return Ok(None),
            },
        };
        if let Some(fault) = lacks_what_the_executor_saw(home, &rosters) {
            return Err(fault.into());
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
        self.check_newest()?;
        let mut rosters = self.rosters.clone();
        rosters.extend(&SignedRoster::sign(root, next).to_bytes())?;
        self.publish(rosters)
    }

    /// Refuses where another roster came while a person was asked: two of one epoch would end the mesh. Call it immediately
    /// before the root key signs elsewhere than in [`Signing::sign`].
    pub fn check_newest(&self) -> Result<()> {
        let Some(held) = held_or_aside(&self.home)? else { return Ok(()) };
        let mut known = self.rosters.clone();
        complete(&mut known, &held).map_err(|error| refused(&self.home, &known, &error))?;
        if known.current().epoch == self.rosters.current().epoch {
            return Ok(());
        }
        let message = "another computer of yours signed a roster meanwhile";
        let fix = "Nothing was signed here. Run this again: it goes on from that one.";
        Err(Fault::operator("newer_roster", message, fix).into())
    }

    /// Takes up a chain that follows this one, as [`Signing::sign`] does.
    pub fn publish(&mut self, rosters: RosterChain) -> Result<()> {
        let path = self.home.signed_rosters();
        private_file::write_private(&path, &rosters.to_bytes()).context("cannot remember the roster")?;
        // Since it was read, somebody may have put another one there.
        let current = rosters.current();
        let held = held_or_aside(&self.home)?;
        if held.is_some_and(|held| held.at(current.epoch).is_some_and(|held| held.hash() != current.hash())) {
            return Err(refused(&self.home, &rosters, &RosterError::Fork { epoch: current.epoch }).into());
        }
        store(&self.home, &rosters)?;
        self.rosters = rosters;
        Ok(())
    }
}

/// What to do where the chain on disk is lost and the one among the keys is whole.
pub const BRINGS_BACK: &str =
    "`aiemp-node peers renew` brings it back. Restore no home from a backup: what was sent since would be forgotten.";

/// What is known here: the chain that the root key signed last, from among the keys, and what follows it on disk. A home
/// without the first goes by the disk. `None` when the node belongs to no mesh yet.
///
/// Refused where they are of two meshes, or show that the root key signed twice, and where the disk has none that
/// verifies: no other process would go by what is done then.
pub fn known(home: &Home) -> Result<Option<RosterChain>> {
    looked_up(home)?.map(|(rosters, on_disk)| on_disk.map(|()| rosters)).transpose()
}

/// [`known`], for what must work whatever others put on disk: what does not fit the signed chain is passed over.
pub fn known_in_any_case(home: &Home) -> Result<Option<RosterChain>> {
    let (rosters, trouble) = match looked_up(home) {
        Ok(None) => return Ok(None),
        Ok(Some((rosters, on_disk))) => (Some(rosters), on_disk.err()),
        Err(error) => (load(home)?, Some(error)),
    };
    if let Some(error) = trouble {
        tracing::warn!(error = causes(&error), "something is wrong with the rosters; see `aiemp-node doctor`");
    }
    Ok(rosters)
}

/// The chain, and whether the disk agrees.
fn looked_up(home: &Home) -> Result<Option<(RosterChain, Result<()>)>> {
    let signed = match remembered(home) {
        // Not this user's to read: it never signs here.
        Err(error) if is_denied(&error) => None,
        signed => signed?,
    };
    let Some(mut rosters) = signed else { return Ok(load(home)?.map(|held| (held, Ok(())))) };
    let lost = |message| Err(Fault::operator("roster_lost", message, BRINGS_BACK).into());
    let on_disk = match load(home) {
        Ok(Some(held)) => complete(&mut rosters, &held).map_err(|error| refused(home, &rosters, &error).into()),
        Ok(None) => lost(format!("the roster {} is missing", home.rosters().display())),
        Err(error) => lost(causes(&error)),
    };
    Ok(Some((rosters, on_disk)))
}

fn is_denied(error: &anyhow::Error) -> bool {
    error.downcast_ref::<PrivacyError>().is_some_and(|error| error.is_io(io::ErrorKind::PermissionDenied))
}

/// Adds to `signed` what of `held` follows it.
fn complete(signed: &mut RosterChain, held: &RosterChain) -> Result<(), RosterError> {
    held.after(0).try_for_each(|roster| signed.extend(&roster).map(|_| ()))
}

/// The chain on disk. Where there is one among the keys, a damaged one is worth nothing: it is put aside, for the other
/// takes its place.
fn held_or_aside(home: &Home) -> Result<Option<RosterChain>> {
    load(home).or_else(|error| {
        let aside = home.rosters().with_extension("damaged");
        if std::fs::rename(home.rosters(), &aside).is_err() {
            return Err(error);
        }
        tracing::warn!(error = causes(&error), aside = %aside.display(), "a damaged roster was put aside");
        Ok(None)
    })
}

/// The epoch of the newest roster that is remembered among the keys, where the chain on disk, if any, lacks it.
pub fn missing_epoch(home: &Home, held: Option<&RosterChain>) -> Result<Option<u64>> {
    let newest = remembered(home)?.map(|signed| (signed.current().epoch, signed.current().hash()));
    let lacks = |epoch, hash| held.and_then(|held| held.at(epoch)).map(Roster::hash) != Some(hash);
    Ok(newest.filter(|(epoch, hash)| lacks(*epoch, *hash)).map(|(epoch, _)| epoch))
}

/// What to say where the executor has seen another roster of an epoch, or a newer one, than these: a roster signed on them
/// would be a second one of an epoch. None where its journal is another user's.
pub fn lacks_what_the_executor_saw(home: &Home, rosters: &RosterChain) -> Option<Fault> {
    let journal = JournalStore::of_begun(home)?;
    let (epoch, hash) = journal.roster_seen().ok()??;
    match rosters.at(epoch) {
        Some(held) if held.hash() == hash => None,
        Some(_) => Some(forked(epoch)),
        None => {
            let message = format!(
                "the rosters here end with epoch {}, and the executor has seen epoch {epoch}: older ones were put in \
                 their place",
                rosters.current().epoch
            );
            let fix = format!(
                "Stop the node and copy the newer chain to {}: every other node of the mesh has it under roster/chain in \
                 its home. Until then nothing is sent, and no roster signed.",
                home.rosters().display()
            );
            Some(Fault::refused("older_roster", message, fix))
        }
    }
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
