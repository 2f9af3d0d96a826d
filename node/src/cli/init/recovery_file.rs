//! The file for the recovery words: a new one, which can be written.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use aiemp_keys::Secret;

use crate::fault::Fault;

/// Refuses a file that exists or cannot be made, before there are words to write.
pub(super) fn check(file: &Path) -> Result<(), Fault> {
    write(file, &Secret::new("not written yet\n".to_owned()))?;
    fs::remove_file(file).map_err(|error| cannot_write(file, &error))
}

/// Makes the file; one that exists is never replaced. No link beside it, for a stick with FAT knows none.
pub(super) fn write(file: &Path, text: &Secret<String>) -> Result<(), Fault> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let mut made = made.map_err(|error| cannot_write(file, &error))?;
    let written = made.write_all(text.expose().as_bytes()).and_then(|()| made.sync_all());
    written.map_err(|error| {
        // The first error is the one to report.
        fs::remove_file(file).ok();
        cannot_write(file, &error)
    })
}

fn cannot_write(file: &Path, error: &io::Error) -> Fault {
    let place = file.display();
    let (message, fix) = if error.kind() == io::ErrorKind::AlreadyExists {
        let message = format!("{place} exists already, and recovery words replace no file");
        (message, "Give --recovery-file a name that is free.")
    } else {
        let message = format!("the recovery words cannot be written to {place}: {error}");
        (message, "Give --recovery-file a place that you can write.")
    };
    Fault::operator("recovery_file", message, format!("{fix} No node was made."))
}
