//! The door: nothing leaves that was not cleared.
//!
//! Every way out of the process takes [`Cleared`], and only [`Guard`] makes one. What it stops is held and shown to
//! the person, never dropped in silence.

use std::sync::Arc;

use aiemp_keys::Fingerprints;
use thiserror::Error;

use crate::{frame::Frame, ids::Audience, roster::Role, vault_path::VaultPath, zone::NeverPath};

/// A value that the guard let pass. The field is private to this module: there is no other way to make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cleared<T>(T);

impl<T> Cleared<T> {
    /// The value.
    pub const fn get(&self) -> &T {
        &self.0
    }

    /// Takes the value out, at the door.
    pub fn into_inner(self) -> T {
        self.0
    }
}

/// Why something does not leave.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Held {
    /// The path never syncs.
    #[error("{0}")]
    Path(#[from] NeverPath),
    /// A secret of the local keystore stands in it.
    #[error("the text contains the secret `{name}`; take it out of the note, it then syncs by itself")]
    KnownSecret {
        /// The name that the secret was added under.
        name: String,
    },
    /// The reader is not of the audience.
    #[error("the reader may not read this audience")]
    Audience,
}

/// Decides what may leave. Holds fingerprints of the known secrets, never the secrets.
#[derive(Clone, Debug)]
pub struct Guard {
    fingerprints: Arc<Fingerprints>,
}

impl Guard {
    /// A guard that knows these secrets.
    pub fn new(fingerprints: Fingerprints) -> Self {
        Self { fingerprints: Arc::new(fingerprints) }
    }

    /// Clears a whole file before any change of it exists, for history never forgets.
    ///
    /// Files that only Local nodes read pass: they leave for no other machine but one that holds the same secrets.
    pub fn clear_file(&self, path: &VaultPath, audience: Audience, bytes: Vec<u8>) -> Result<Cleared<Vec<u8>>, Held> {
        if audience == Audience::All {
            self.refuse_secrets(path.as_str().as_bytes())?;
            self.refuse_secrets(&bytes)?;
        }
        Ok(Cleared(bytes))
    }

    /// Clears a frame for a peer in `role`: entries of an audience that it may not read are refused. Payloads that it
    /// must not have are left out of their entry, which reaches it all the same, and answered with the reasons.
    pub fn clear_frame(&self, role: Role, mut frame: Frame) -> Result<(Cleared<Frame>, Vec<Held>), Held> {
        let readable = |audience| audience == Audience::All || role == Role::Local;
        let mut withheld = Vec::new();
        match &mut frame {
            Frame::Entry { log, payloads, .. } => {
                if !readable(log.audience) {
                    return Err(Held::Audience);
                }
                for payload in payloads {
                    let checked = payload.as_ref().map_or(Ok(()), |payload| self.check_payload(role, payload));
                    if let Err(why) = checked {
                        *payload = None;
                        withheld.push(why);
                    }
                }
            }
            Frame::Frontier { positions } => {
                if positions.iter().any(|position| !readable(position.log.audience)) {
                    return Err(Held::Audience);
                }
            }
            Frame::PayloadPart { bytes, .. } => self.check_payload(role, bytes)?,
            Frame::Hello { .. } | Frame::Fetch { .. } | Frame::Roster { .. } | Frame::PayloadWanted { .. } => {}
        }
        Ok((Cleared(frame), withheld))
    }

    /// Whether a payload may go to a peer in `role`.
    pub fn check_payload(&self, role: Role, payload: &[u8]) -> Result<(), Held> {
        if role == Role::Cloud { self.refuse_secrets(payload) } else { Ok(()) }
    }

    /// Clears text for another process or service: a brain's prompt, an A2A message.
    pub fn clear_text(&self, text: String) -> Result<Cleared<String>, Held> {
        self.refuse_secrets(text.as_bytes())?;
        Ok(Cleared(text))
    }

    /// Clears the body of a call to another node or service.
    pub fn clear_bytes(&self, bytes: Vec<u8>) -> Result<Cleared<Vec<u8>>, Held> {
        self.refuse_secrets(&bytes)?;
        Ok(Cleared(bytes))
    }

    fn refuse_secrets(&self, bytes: &[u8]) -> Result<(), Held> {
        match self.fingerprints.find(bytes) {
            Some(name) => Err(Held::KnownSecret { name: name.to_owned() }),
            None => Ok(()),
        }
    }
}
