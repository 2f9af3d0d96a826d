//! Whom the executor obeys: the roster file, verified against the root key that it pinned.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use aiemp_keys::{Hash, NodeId, PublicKey, private_file};
use aiemp_protocol::roster::{Roster, RosterChain, RosterError};

use super::Refused;
use crate::{home::Home, shell::rosters};

/// The one file of a home of which an old copy is as good as a new one.
pub const RESTORE_ROOT: &str = "restore this one file from a backup of this home, however old: it never changes";

/// The roster in force. It verifies itself, so its file need not be private.
#[derive(Debug)]
pub(super) struct Authority {
    home: Home,
    path: PathBuf,
    pinned: PublicKey,
    me: NodeId,
    chain: RosterChain,
    stamp: Stamp,
}

/// Tells one file from the one that replaced it: modification time, length, inode.
type Stamp = (i64, i64, u64, u64);

impl Authority {
    /// Reads the pinned key and the roster.
    pub(super) fn load(home: &Home, me: NodeId) -> Result<Self, Refused> {
        let pinned = pinned_root(&home.pinned_root())?;
        let path = home.rosters();
        let stamp = stamp_of(&path)?;
        let chain = read_chain(&path)?;
        check(&chain, pinned, me)?;
        refuse_fork(home, &chain)?;
        Ok(Self { home: home.clone(), path, pinned, me, chain, stamp })
    }

    /// Reads the roster again if its file changed; whether it did.
    ///
    /// An error means that this node may not execute any more, or that nobody can tell.
    pub(super) fn refresh(&mut self) -> Result<bool, Refused> {
        let stamp = stamp_of(&self.path)?;
        refuse_fork(&self.home, &self.chain)?;
        if stamp == self.stamp {
            return Ok(false);
        }
        let chain = read_chain(&self.path)?;
        let held = self.chain.current();
        check(&chain, self.pinned, self.me)?;
        check_follows(&chain, held.epoch, held.hash())?;
        self.chain = chain;
        self.stamp = stamp;
        Ok(true)
    }

    /// Checks that the roster is, or follows, the newest one of an earlier run.
    pub(super) fn check_follows(&self, epoch: u64, hash: Hash) -> Result<(), Refused> {
        check_follows(&self.chain, epoch, hash)
    }

    /// The roster in force.
    pub(super) fn roster(&self) -> &Roster {
        self.chain.current()
    }
}

fn check(chain: &RosterChain, pinned: PublicKey, me: NodeId) -> Result<(), Refused> {
    if chain.founder() != pinned {
        let founder = chain.founder();
        return Err(Refused(format!(
            "the roster was founded by the root key {founder}, this executor pinned {pinned}; restore the roster file \
             of your own mesh"
        )));
    }
    let current = chain.current();
    if current.executor != me {
        let executor = current.member(current.executor).map_or("another node", |member| member.name.as_str());
        return Err(Refused(format!(
            "the roster names {executor} as the executor, not this node; run the executor there"
        )));
    }
    Ok(())
}

fn refuse_fork(home: &Home, chain: &RosterChain) -> Result<(), Refused> {
    rosters::forked_epoch(home, chain).map_or(Ok(()), |epoch| Err(forked(epoch)))
}

fn forked(epoch: u64) -> Refused {
    Refused(RosterError::Fork { epoch }.to_string())
}

fn check_follows(chain: &RosterChain, epoch: u64, hash: Hash) -> Result<(), Refused> {
    match chain.at(epoch) {
        Some(held) if held.hash() == hash => Ok(()),
        Some(_) => Err(forked(epoch)),
        None => Err(Refused(format!(
            "the roster is of epoch {}, older than epoch {epoch}, which this executor has seen; restore the newer \
             roster file",
            chain.current().epoch
        ))),
    }
}

/// The root key that was pinned.
pub fn pinned_root(path: &Path) -> Result<PublicKey, Refused> {
    let text = private_file::read_private(path).map_err(|error| match error.is_io(io::ErrorKind::NotFound) {
        true => Refused(format!("{} is missing: {RESTORE_ROOT}", path.display())),
        false => Refused(error.to_string()),
    })?;
    let text = String::from_utf8_lossy(text.expose());
    let damaged = |error| Refused(format!("{} holds no root key: {error}; {RESTORE_ROOT}", path.display()));
    text.strip_suffix('\n').unwrap_or(&text).parse().map_err(damaged)
}

fn read_chain(path: &Path) -> Result<RosterChain, Refused> {
    let bytes = fs::read(path).map_err(|error| unreadable(path, &error))?;
    RosterChain::from_bytes(&bytes).map_err(|error| Refused(format!("{}: {error}", path.display())))
}

fn stamp_of(path: &Path) -> Result<Stamp, Refused> {
    let metadata = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    Ok((metadata.mtime(), metadata.mtime_nsec(), metadata.len(), metadata.ino()))
}

fn unreadable(path: &Path, error: &io::Error) -> Refused {
    if error.kind() == io::ErrorKind::NotFound {
        return Refused(format!("the roster {} is missing: `aiemp-node peers renew` brings it back", path.display()));
    }
    Refused(format!("{}: {error}", path.display()))
}
