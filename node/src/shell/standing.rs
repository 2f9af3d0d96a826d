//! Standing approvals on disk: one file each. They verify themselves, so any process may read them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use aiemp_keys::private_file;
use aiemp_protocol::{
    action,
    approval::{Standing, StandingId, standing::Request},
    roster::Roster,
    time::Timestamp,
};
use anyhow::{Context, Result};

use crate::home::Home;

/// Larger than any with all its recipients: a file beyond it is none.
const BYTES_MAX: u64 = 64 << 10;
const EXTENSION: &str = "standing";

/// Every one in a folder that an approver of the roster signed, by id. What does not verify allows nothing.
pub fn load(folder: &Path, roster: &Roster) -> Result<Vec<Standing>> {
    let failed = || format!("cannot read {}", folder.display());
    let files = match fs::read_dir(folder) {
        Ok(files) => files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(failed),
    };
    let mut all = Vec::new();
    for file in files {
        let path = file.with_context(failed)?.path();
        let id = path.file_stem().and_then(|name| name.to_str()?.parse().ok());
        if let Some(id) = id.filter(|_| path.extension().is_some_and(|extension| extension == EXTENSION)) {
            all.extend(find(folder, roster, id).map(|(standing, _)| standing));
        }
    }
    all.sort_by_key(|standing: &Standing| standing.id);
    Ok(all)
}

/// Those of a home that are in force on its executor.
pub fn in_force(home: &Home, roster: &Roster, now: Timestamp) -> Result<Vec<Standing>> {
    let mut all = load(&home.standing(), roster)?;
    all.retain(|standing| standing.in_force(roster, roster.executor, now).is_ok());
    Ok(all)
}

/// What one allows, in a line.
pub fn line_of(standing: &Standing) -> String {
    let Standing { id, hand, recipients, count, until, .. } = standing;
    let people = recipients.iter().map(action::spelt).collect::<Vec<_>>().join(", ");
    let text = if standing.text_by_cloud { ", text by Cloud too" } else { "" };
    format!("up to {count} mails by {hand} to {people} until {until}{text} ({id})")
}

/// The one with this id, and its signed bytes.
pub fn find(folder: &Path, roster: &Roster, id: StandingId) -> Option<(Standing, Vec<u8>)> {
    let path = path_of(folder, id);
    if fs::symlink_metadata(&path).ok()?.len() > BYTES_MAX {
        return None;
    }
    let bytes = private_file::read_private(&path).ok()?.expose().clone();
    let verified = roster.by_approver(|key| Standing::verify(key, roster.mesh, &bytes));
    match verified.map(|standing| (standing.id == id).then_some(standing)) {
        Ok(Some(standing)) => Some((standing, bytes)),
        Ok(None) | Err(_) => {
            tracing::warn!(path = %path.display(), "no approver of this mesh signed it: it allows nothing");
            None
        }
    }
}

/// Writes a signed one; it is durable when this returns.
pub fn keep(folder: &Path, id: StandingId, signed: &[u8]) -> Result<()> {
    private_file::create_private_dir(folder)?;
    Ok(private_file::write_private(&path_of(folder, id), signed)?)
}

/// Leaves a request for the executor, in place of an earlier one for the same draft.
pub fn ask(folder: &Path, request: &Request) -> Result<()> {
    tracing::info!(path = %request.path, standing = %request.standing, "the executor is asked to send a draft");
    private_file::create_private_dir(folder)?;
    let path = folder.join(format!("{}.request", request.file.hash));
    Ok(private_file::write_private(&path, &request.to_bytes())?)
}

/// Takes its file away.
pub fn remove(folder: &Path, id: StandingId) -> Result<()> {
    match fs::remove_file(path_of(folder, id)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path_of(folder, id).display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Where it lies.
pub fn path_of(folder: &Path, id: StandingId) -> PathBuf {
    folder.join(format!("{id}.{EXTENSION}"))
}
