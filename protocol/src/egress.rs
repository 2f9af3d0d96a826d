//! The door: nothing leaves that was not cleared.
//!
//! Every way out of the process takes [`Cleared`], and only [`Guard`] makes one. What it stops is held and shown to
//! the person, never dropped in silence.
//!
//! # What it looks for
//!
//! First names that never sync; then the fingerprints of the secrets and canaries that this node knows; then the
//! formats in which providers issue credentials, with entropy, checksum and context as gates. It looks at the text as
//! it is and in other views: without invisible characters, compatibility forms as plain letters, UTF-16, white space
//! folded away, and one level of base64, hexadecimal digits, percent signs, backslashes (JSON, Markdown) or entities
//! (HTML) taken off. A secret under two levels of encoding, encrypted or compressed is not found.
//!
//! # Releases
//!
//! The person may release a held file. That stores the hash of its content and, for each value that was matched in it,
//! a keyed hash of the matched bytes. A file passes by its content, or if every value in it is released; a payload, a
//! prompt or a call, in which the same text stands in another frame, passes by the values alone. So what was released
//! may go on being edited, and reaches the peers as changes, while the next value is held again. A value passes in
//! whatever it stands: once it has left, holding it back elsewhere protects nothing. The key keeps a stolen list of
//! releases from being a list of passwords to guess. Neither a canary nor a name is ever released.

mod anchors;
mod clean;
mod entropy;
mod gate;
mod phrase;
#[cfg(test)]
mod plain;
mod reading;
mod releases;
mod rule;
mod rules;
mod scan;
mod seams;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod views;

use std::sync::Arc;

use aiemp_keys::{FingerprintKey, Fingerprints, Hash};
use thiserror::Error;

use self::clean::Clean;
pub use self::releases::{Release, Releases, ReleasesError};
use crate::{
    frame::Frame,
    ids::{Audience, ContentHash},
    roster::Role,
    vault_path::VaultPath,
    zone::{self, NeverPath},
};

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
    /// A secret stands in the path itself.
    #[error("the name of the file holds {what}: rename the file, it then syncs by itself")]
    Name {
        /// What it holds, never the value.
        what: HitKind,
    },
    /// A secret of the local keystore stands in it.
    #[error(
        "the text contains the secret `{name}`: take it out of the note, or release it with `aiemp-node egress release ID`"
    )]
    KnownSecret {
        /// The name that the secret was added under.
        name: String,
    },
    /// Something stands in it that looks like a provider's credential.
    #[error(
        "line {line} holds what looks like a credential ({kind}): take it out of the note, or release it with \
         `aiemp-node egress release ID`"
    )]
    Credential {
        /// The stable name of its kind.
        kind: &'static str,
        /// Its line, from 1.
        line: usize,
    },
    /// A canary stands in it: somebody read what nobody should have read.
    #[error(
        "the canary `{name}` stands in it: something read the place where it was planted; find out what, and take it \
         out, for it cannot be released"
    )]
    Canary {
        /// The name that it was planted under.
        name: String,
    },
    /// The reader is not of the audience.
    #[error("the reader may not read this audience")]
    Audience,
}

/// What a hit is; never the value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Error)]
pub enum HitKind {
    /// A planted value.
    #[error("the canary `{name}`")]
    Canary {
        /// The name that it was planted under.
        name: String,
    },
    /// A secret that this node knows.
    #[error("the secret `{name}`")]
    KnownSecret {
        /// The name that it was added under.
        name: String,
    },
    /// What looks like a provider's credential.
    #[error("what looks like a credential ({kind})")]
    Credential {
        /// The stable name of its kind.
        kind: &'static str,
    },
}

/// One place of a text where something stands that must not leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// What it is.
    pub kind: HitKind,
    /// Its line, from 1; of something encoded over several lines the first.
    pub line: usize,
    /// Whether the person released it.
    pub released: bool,
}

impl Hit {
    fn held(self) -> Held {
        match self.kind {
            HitKind::Canary { name } => Held::Canary { name },
            HitKind::KnownSecret { name } => Held::KnownSecret { name },
            HitKind::Credential { kind } => Held::Credential { kind, line: self.line },
        }
    }
}

/// Decides what may leave. Holds fingerprints of the known secrets, never the secrets.
#[derive(Clone, Debug)]
pub struct Guard {
    fingerprints: Arc<Fingerprints>,
    clean: Arc<Clean>,
    releases: Arc<Releases>,
    /// Whether the files that it clears lie on Cloud already.
    at_cloud: bool,
}

impl Guard {
    /// A guard that knows these secrets, and of no release.
    pub fn new(fingerprints: Fingerprints) -> Self {
        // Without a release, no value is ever compared: the key is of no matter.
        Self {
            fingerprints: Arc::new(fingerprints),
            clean: Arc::default(),
            releases: Arc::new(Releases::new(FingerprintKey::from_bytes([0; 32]))),
            at_cloud: false,
        }
    }

    /// The same guard, knowing what the person released.
    #[must_use]
    pub fn with_releases(mut self, releases: Releases) -> Self {
        self.releases = Arc::new(releases);
        self
    }

    /// The same guard on a Cloud node: what lies in a file there has left the person's computer, so providers' formats
    /// are not looked for in files. A mail with somebody's token in a link must reach its reader. Secrets that the node
    /// knows, canaries and names are held as everywhere, and so are formats at every other door.
    #[must_use]
    pub const fn at_cloud(mut self) -> Self {
        self.at_cloud = true;
        self
    }

    /// Clears a whole file before any change of it exists, for history never forgets.
    ///
    /// Files that only Local nodes read pass: they leave for no other machine but one that holds the same secrets.
    pub fn clear_file(&self, path: &VaultPath, audience: Audience, bytes: Vec<u8>) -> Result<Cleared<Vec<u8>>, Held> {
        zone::refuse_never(path)?;
        if audience == Audience::All {
            self.check_name(path)?;
            self.check(&bytes, true)?;
        }
        Ok(Cleared(bytes))
    }

    /// Everything in a file's content that must not leave, by line, whether released or not.
    pub fn hits(&self, bytes: &[u8]) -> Vec<Hit> {
        let released = self.releases.has_content(ContentHash::of(bytes));
        self.findings(bytes, released).0
    }

    /// The release of a file that the person has seen: its content, and each value in it.
    ///
    /// # Errors
    ///
    /// A canary stands in it, which is never released.
    pub fn release(&self, bytes: &[u8]) -> Result<Release, Held> {
        let findings = scan::scan(bytes, &self.fingerprints, &|value| self.releases.mark(value));
        if let Some(name) = findings.hits.keys().find_map(|(_, kind)| canary(kind)) {
            return Err(Held::Canary { name: name.to_owned() });
        }
        Ok(Release { content: ContentHash::of(bytes), values: findings.hits.into_values().flatten().collect() })
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
            Frame::Hello { .. }
            | Frame::Fetch { .. }
            | Frame::Roster { .. }
            | Frame::PayloadWanted { .. }
            | Frame::Freeze { .. } => {}
        }
        Ok((Cleared(frame), withheld))
    }

    /// Whether a payload may go to a peer in `role`.
    pub fn check_payload(&self, role: Role, payload: &[u8]) -> Result<(), Held> {
        if role == Role::Cloud { self.check(payload, false) } else { Ok(()) }
    }

    /// Clears text for another process or service: a brain's prompt, an A2A message.
    pub fn clear_text(&self, text: String) -> Result<Cleared<String>, Held> {
        self.check(text.as_bytes(), false)?;
        Ok(Cleared(text))
    }

    /// Clears the body of a call to another node or service.
    pub fn clear_bytes(&self, bytes: Vec<u8>) -> Result<Cleared<Vec<u8>>, Held> {
        self.check(&bytes, false)?;
        Ok(Cleared(bytes))
    }

    /// Refuses a name in which anything stands that must not leave: names are not released.
    fn check_name(&self, path: &VaultPath) -> Result<(), Held> {
        let findings = scan::scan(path.as_str().as_bytes(), &self.fingerprints, &no_mark);
        let first = findings.hits.into_keys().map(|(_, kind)| kind).min();
        match first {
            None => Ok(()),
            Some(HitKind::Canary { name }) => Err(Held::Canary { name }),
            Some(what) => Err(Held::Name { what }),
        }
    }

    /// Refuses the first of what must not leave, a canary before all else. Files may be released by their content.
    fn check(&self, bytes: &[u8], is_file: bool) -> Result<(), Held> {
        let content = Clean::digest(bytes);
        if content.is_some_and(|content| self.clean.has(content)) {
            return Ok(());
        }
        let released = is_file && !self.releases.is_empty() && self.releases.has_content(ContentHash::of(bytes));
        let (mut hits, overflown) = self.findings(bytes, released);
        if let Some(content) = content.filter(|_| hits.is_empty() && !overflown) {
            self.clean.note(content);
        }
        if is_file && self.at_cloud {
            hits.retain(|hit| !matches!(hit.kind, HitKind::Credential { .. }));
        }
        let overflow = || hits.first().filter(|_| overflown && !released).cloned();
        let canary = hits.iter().find(|hit| canary(&hit.kind).is_some());
        let first = canary.or_else(|| hits.iter().find(|hit| !hit.released)).cloned().or_else(overflow);
        first.map_or(Ok(()), |hit| Err(hit.held()))
    }

    fn findings(&self, bytes: &[u8], content_released: bool) -> (Vec<Hit>, bool) {
        let unreleased = self.releases.is_empty();
        let mark = |value: &[u8]| if unreleased { no_mark(value) } else { self.releases.mark(value) };
        let findings = scan::scan(bytes, &self.fingerprints, &mark);
        let hits = findings.hits.into_iter().map(|((line, kind), values)| {
            let released = content_released || (!unreleased && self.releases.have_all(&values));
            Hit { line, released: released && canary(&kind).is_none(), kind }
        });
        (hits.collect(), findings.overflown)
    }
}

/// Stands for a value where no release can name it.
const fn no_mark(_value: &[u8]) -> Hash {
    Hash::from_bytes([0; 32])
}

fn canary(kind: &HitKind) -> Option<&str> {
    match kind {
        HitKind::Canary { name } => Some(name),
        HitKind::KnownSecret { .. } | HitKind::Credential { .. } => None,
    }
}
