//! Requests of the mesh: drafts that a standing approval may cover. Nothing in one is believed but who wrote the draft.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use aiemp_keys::private_file;
use aiemp_protocol::{
    approval::{
        StandingId, Verified,
        journal::{Input, State},
        standing::Request,
    },
    ids::ActionHash,
};
use anyhow::{Context as _, Result};

use super::{Executor, intake::remove, now};
use crate::{home::Home, shell::standing};

/// A note is at most 1 MiB; a file beyond this is no request.
const REQUEST_BYTES_MAX: u64 = 2 << 20;
/// Requests that are looked at in one go: approvals of a person come between.
const REQUESTS_MAX: usize = 64;

/// Standing approvals that a person ended. A folder that cannot be read stops the start: it would bring back what was
/// ended.
pub(super) fn ended(home: &Home) -> Result<Vec<StandingId>> {
    let folder = home.ended_standing();
    private_file::create_private_dir(&folder)?;
    let mut ids = Vec::new();
    for file in fs::read_dir(&folder).with_context(|| format!("listing {}", folder.display()))? {
        ids.extend(file?.file_name().to_str().and_then(|name| name.parse::<StandingId>().ok()));
    }
    Ok(ids)
}

/// Why nothing is sent for a request.
#[derive(Debug)]
struct Refused {
    code: &'static str,
    why: String,
    action: Option<ActionHash>,
}

impl Refused {
    fn new(code: &'static str, why: impl Into<String>) -> Self {
        Self { code, why: why.into(), action: None }
    }
}

impl Executor {
    /// A person ended a standing approval: remembered first, then what waits under it fails.
    pub(super) fn end_standing(&mut self, id: StandingId) -> Result<()> {
        private_file::write_private(&self.home.ended_standing().join(id.to_string()), b"")?;
        failpoint!("standing approval ended");
        self.handle(Input::StandingEnded(id));
        Ok(())
    }

    /// Looks at what the mesh asks for. A request is answered once and taken away, whatever became of it.
    pub(super) fn take_requests(&mut self) -> Result<()> {
        self.void_standing_of_older_rosters();
        self.pump()?;
        for path in waiting(&self.home.requests())?.into_iter().take(REQUESTS_MAX) {
            failpoint!("about to read a request");
            let admitted = self.admit(&path);
            failpoint!("request read");
            if let Ok(verified) = &admitted {
                self.handle(Input::Approved(Box::new(verified.clone())));
                self.pump()?;
            }
            failpoint!("request acted on");
            let refused = match (admitted.err(), self.refused.take()) {
                (Some(refused), _) => Some(refused),
                (None, Some((action, why))) => {
                    Some(Refused { code: why.as_str(), why: why.to_string(), action: Some(action) })
                }
                (None, None) => None,
            };
            if let Some(Refused { code, why, action }) = refused {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                tracing::warn!(file = %name, code, why, "a request is refused");
                let action = action.map(|action| action.to_string());
                self.receipts.note_refusal(now(), "request_refused", &name, action, code)?;
            }
            remove(&path)?;
            failpoint!("request gone");
        }
        Ok(())
    }

    fn admit(&mut self, path: &Path) -> Result<Verified, Refused> {
        if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.len() > REQUEST_BYTES_MAX) {
            return Err(Refused::new("too_large", format!("more than {REQUEST_BYTES_MAX} bytes")));
        }
        let bytes = private_file::read_private(path).map_err(|error| Refused::new("unreadable", error.to_string()))?;
        let request = Request::from_bytes(bytes.expose()).map_err(|error| Refused::new("form", error.to_string()))?;
        if self.look_at_brake() {
            return Err(Refused::new("frozen", "the mesh is frozen; the draft is offered again when it is let go on"));
        }
        if self.journal.has_ended(request.standing) {
            let why = "the standing approval was removed, or is of an older roster; its id never counts again";
            return Err(Refused::new("standing_ended", why));
        }
        let roster = self.authority.roster();
        let Some((standing, signed)) = standing::find(&self.home.standing(), roster, request.standing) else {
            return Err(Refused::new("no_standing", "there is no such standing approval, or no approver signed it"));
        };
        let policy = self.journal.policy().digest();
        standing
            .admit(&signed, request, roster, self.me, policy, now())
            .map_err(|uncovered| Refused::new(uncovered.as_str(), uncovered.to_string()))
    }

    /// What waits under a standing approval of another epoch than the one in force does not go out any more.
    fn void_standing_of_older_rosters(&mut self) {
        let epoch = self.authority.roster().epoch;
        let waiting = self.journal.rows().filter(|row| row.state == State::Reserved);
        let standing = waiting.filter_map(|row| row.verified.standing.as_ref());
        let voided: BTreeSet<_> =
            standing.filter(|standing| standing.epoch != epoch).map(|standing| standing.id).collect();
        for id in voided {
            self.handle(Input::StandingEnded(id));
        }
    }
}

/// Files that wait in the folder, by name. Others' temporary files carry other names; a folder is no request.
fn waiting(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        let is_request = path.extension().is_some_and(|extension| extension == "request");
        if is_request && !entry.file_type().is_ok_and(|found| found.is_dir()) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
