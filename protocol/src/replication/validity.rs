//! Validity: a pure function of an entry's bytes, its predecessor and the roster it names. All nodes agree on it.

use super::output::FreezeReason;
use crate::{
    entry::{FieldWrite, Item, SignedEntry},
    ids::{FileId, LogId},
    roster::{Member, Role, Roster},
    vault_path::VaultPath,
};

/// Checks an entry against the roster of its own epoch.
pub(super) fn check(
    signed: &SignedEntry,
    author: &Member,
    roster: &Roster,
    epoch_before: u64,
) -> Result<(), FreezeReason> {
    if signed.entry.epoch < epoch_before {
        return Err(FreezeReason::EpochFell);
    }
    signed.entry.items.iter().try_for_each(|item| check_item(item, signed.log, author, roster))
}

fn check_item(item: &Item, log: LogId, author: &Member, roster: &Roster) -> Result<(), FreezeReason> {
    match item {
        Item::New { file, path, .. } => {
            check_writer(*file, log, author)?;
            check_path(*file, path, roster)
        }
        Item::Set { file, write: FieldWrite::Archived(_) } => {
            check_audience(*file, log)?;
            if file.zone.may_archive(author.node, author.role) { Ok(()) } else { Err(FreezeReason::ForeignZone) }
        }
        Item::Set { file, write } => {
            check_writer(*file, log, author)?;
            match write {
                FieldWrite::Path(path) => check_path(*file, path, roster),
                FieldWrite::Kind(_) | FieldWrite::Base(_) | FieldWrite::Archived(_) => Ok(()),
            }
        }
        Item::Change { file, .. } => check_writer(*file, log, author),
        // Nobody else's word is taken for what a text was: what replaces a text is told, and this is not.
        Item::Compacted { file, .. } if author.role == Role::Local => check_writer(*file, log, author),
        Item::Compacted { .. } => Err(FreezeReason::ForeignZone),
        Item::Claim { from, to, .. } => {
            check_audience(*from, log)?;
            check_writer(*to, log, author)
        }
        Item::Resolve { .. } => Ok(()),
    }
}

fn check_writer(file: FileId, log: LogId, author: &Member) -> Result<(), FreezeReason> {
    check_audience(file, log)?;
    if file.zone.may_write(author.node, author.role) { Ok(()) } else { Err(FreezeReason::ForeignZone) }
}

fn check_audience(file: FileId, log: LogId) -> Result<(), FreezeReason> {
    if file.zone.audience() == log.audience { Ok(()) } else { Err(FreezeReason::AudienceMismatch) }
}

fn check_path(file: FileId, path: &VaultPath, roster: &Roster) -> Result<(), FreezeReason> {
    match roster.zone_of(path) {
        Ok(zone) if zone == file.zone => Ok(()),
        Ok(_) | Err(_) => Err(FreezeReason::PathOutsideZone),
    }
}
