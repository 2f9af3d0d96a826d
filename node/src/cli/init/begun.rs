//! An init under way: what an interrupted one left is begun anew, a finished home is never touched.

use std::{
    fs::{self, File},
    io,
};

use aiemp_keys::private_file;
use anyhow::{Context, Result};

use super::super::print;
use crate::{fault::Fault, home::Home};

/// Holds the home until its settings are written, the last thing that an init writes.
pub(super) struct Begun {
    home: Home,
    _lock: File,
}

impl Begun {
    /// Takes the home, and removes what an interrupted init made. Refuses one that is finished.
    pub(super) fn at(home: &Home) -> Result<Self> {
        refuse_finished(home)?;
        if let Some(parent) = home.path().parent() {
            fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        }
        private_file::create_private_dir(home.path())?;
        let mark = home.init_begun();
        let is_again = match private_file::create_private(&mark, b"") {
            Ok(()) => false,
            Err(error) if error.is_io(io::ErrorKind::AlreadyExists) => true,
            Err(error) => return Err(error.into()),
        };
        let lock = File::open(&mark).with_context(|| format!("cannot open {}", mark.display()))?;
        if lock.try_lock().is_err() {
            let message = format!("another init is at work on {}", home.path().display());
            return Err(Fault::operator("busy", message, "Wait until it ends.").into());
        }
        // The other one may have ended well meanwhile.
        refuse_finished(home)?;
        if is_again {
            start_anew(home)?;
        }
        Ok(Self { home: home.clone(), _lock: lock })
    }

    /// The home is finished.
    pub(super) fn end(self) -> Result<()> {
        let mark = self.home.init_begun();
        fs::remove_file(&mark).with_context(|| format!("cannot remove {}", mark.display()))
    }
}

pub(super) fn refuse_finished(home: &Home) -> Result<(), Fault> {
    let place = home.path().display();
    if home.config().exists() || home.store().exists() {
        let fix = "Use it, or choose another --home. Nothing was changed.";
        return Err(Fault::operator("exists", format!("{place} holds a node already"), fix));
    }
    if home.keys().join("node.key").exists() && !home.init_begun().exists() {
        let fix = "If it was in use, put its config.toml back (an example is in deploy/config/). If not, an init was \
                   interrupted: remove the folder and run init again. Nothing was changed.";
        return Err(Fault::operator("exists", format!("{place} holds keys of a node, and no config.toml"), fix));
    }
    Ok(())
}

/// Without settings no node ran with these keys, so nobody knows them.
fn start_anew(home: &Home) -> Result<()> {
    for folder in [home.keys(), home.mesh(), home.roster_folder(), home.executor()] {
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", folder.display()));
            }
            Ok(()) | Err(_) => {}
        }
    }
    print::talk("An init was interrupted here, and is begun anew. Recovery words that it showed open nothing.");
    Ok(())
}
