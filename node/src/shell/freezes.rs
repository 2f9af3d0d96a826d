//! The brake on disk: one file for each register of each member. Records verify themselves, so any process may read them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use aiemp_keys::private_file;
use aiemp_protocol::{
    freeze::{Brake, FreezeRecord, Freezes},
    roster::Roster,
};
use anyhow::{Context, Result};

use crate::fault::causes;

/// Larger than any record: a file beyond it is none.
const RECORD_BYTES_MAX: u64 = 4096;

/// Every record in a folder, as far as it verifies. A folder that cannot be read is an error: whoever asks must not take
/// it for one without records.
pub fn load(folder: &Path, roster: &Roster) -> Result<Freezes> {
    let mut freezes = Freezes::default();
    for bytes in read_all(folder)? {
        // What does not verify stops and lifts nothing.
        freezes.accept(roster, &bytes).ok();
    }
    Ok(freezes)
}

/// [`load`], passing over what cannot be read.
pub fn load_readable(folder: &Path, roster: &Roster) -> Freezes {
    let mut freezes = Freezes::default();
    for read in read_each(folder).unwrap_or_else(|error| vec![Err(error)]) {
        match read {
            Ok(bytes) => drop(freezes.accept(roster, &bytes)),
            Err(error) => tracing::warn!(error = causes(&error), "a freeze may not be known here"),
        }
    }
    freezes
}

/// The files of a folder that may be records.
pub fn read_all(folder: &Path) -> Result<Vec<Vec<u8>>> {
    read_each(folder)?.into_iter().collect()
}

fn read_each(folder: &Path) -> Result<Vec<Result<Vec<u8>>>> {
    let failed = || format!("cannot read {}", folder.display());
    let files = match fs::read_dir(folder) {
        Ok(files) => files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(failed),
    };
    Ok(files
        .filter_map(|file| file.map_err(Into::into).and_then(|file| read(&file)).with_context(failed).transpose())
        .collect())
}

/// `None`: no record.
fn read(file: &fs::DirEntry) -> Result<Option<Vec<u8>>> {
    if file.path().extension().is_none_or(|extension| extension != "freeze") {
        return Ok(None);
    }
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > RECORD_BYTES_MAX {
        return Ok(None);
    }
    Ok(Some(fs::read(file.path())?))
}

/// Writes a record in the place of an earlier one of its register; it is durable when this returns.
pub fn keep(folder: &Path, record: FreezeRecord, bytes: &[u8]) -> Result<()> {
    private_file::create_private_dir(folder)?;
    Ok(private_file::write_private(&path_of(folder, record), bytes)?)
}

fn path_of(folder: &Path, record: FreezeRecord) -> PathBuf {
    let register = match record.brake {
        Brake::Frozen => "frozen",
        Brake::Lifted => "lifted",
    };
    folder.join(format!("{}-{register}.freeze", record.node))
}
