//! The store's file and those beside it: a new one takes its place, and a damaged one is kept.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use rusqlite::Connection;

use super::error::StoreError;

/// Damaged stores that are kept beside the one in use.
const KEPT_MAX: usize = 3;

/// `path` with `end` behind its name.
fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn remove_all(path: &Path) -> io::Result<()> {
    ["", "-wal", "-shm"].iter().try_for_each(|end| gone(fs::remove_file(beside(path, end))))
}

/// A name beside the store's at which nothing lies.
pub(super) fn emptied(path: &Path, end: &str) -> Result<PathBuf, StoreError> {
    let place = beside(path, &format!(".{end}"));
    remove_all(&place).map_err(StoreError::File)?;
    Ok(place)
}

/// Closes a new store and puts it in the place of the one that lies at `path`, which nobody has open.
pub(super) fn put_in_place(new: Connection, new_path: &Path, path: &Path) -> Result<(), StoreError> {
    new.pragma_update(None, "wal_checkpoint", "TRUNCATE")?;
    new.close().map_err(|(_, error)| error)?;
    swap(new_path, path).map_err(StoreError::File)
}

/// The log of the old one goes first: in the new one's company it would be taken for its own.
fn swap(new_path: &Path, path: &Path) -> io::Result<()> {
    for end in ["-wal", "-shm"] {
        gone(fs::remove_file(beside(path, end)))?;
    }
    File::open(new_path)?.sync_all()?;
    fs::rename(new_path, path)?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// A copy of the store to look into; the mode is that of the store.
pub(super) fn copied(path: &Path, end: &str) -> Result<PathBuf, StoreError> {
    let place = emptied(path, end)?;
    let copy = |end: &str| gone(fs::copy(beside(path, end), beside(&place, end)).map(|_| ()));
    ["", "-wal"].into_iter().try_for_each(copy).map_err(StoreError::File)?;
    Ok(place)
}

/// Removes such a copy.
pub(super) fn discard(copy: &Path) -> Result<(), StoreError> {
    remove_all(copy).map_err(StoreError::File)
}

/// Keeps the store as it lies, and answers where; of many damaged ones the first are kept.
pub(super) fn keep_damaged(path: &Path) -> Result<Option<PathBuf>, StoreError> {
    let places = (1..=KEPT_MAX).map(|number| beside(path, &format!(".damaged-{number}")));
    let Some(place) = places.into_iter().find(|place| !place.exists()) else { return Ok(None) };
    let copy = |end: &str| gone(fs::copy(beside(path, end), beside(&place, end)).map(|_| ()));
    ["-wal", ""].into_iter().try_for_each(copy).map_err(StoreError::File)?;
    Ok(Some(place))
}

/// The damaged stores that are kept.
pub fn kept_damaged(path: &Path) -> Vec<PathBuf> {
    let places = (1..=KEPT_MAX).map(|number| beside(path, &format!(".damaged-{number}")));
    places.filter(|place| place.exists()).collect()
}
