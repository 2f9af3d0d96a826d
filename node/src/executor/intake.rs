//! Files in `approved/`: what a reviewer hands in, and what becomes of a file that is refused.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use aiemp_keys::{NodeId, PrivacyError, private_file};
use aiemp_protocol::{
    approval::{
        Bundle, BundleError, ClockSettlement, Policy, Settlement, SignedHands, StandingId, Verified, journal::Input,
    },
    ids::ActionHash,
    roster::Roster,
    time::Timestamp,
};
use anyhow::Context as _;

use super::{Executor, now, start};
use crate::{
    hands::Hands,
    shell::handed_in::{self, Refusal},
};

/// Largest file that is read: a mail at the usual provider limit, several times over.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// Refused files of one name that are kept apart; the last is replaced after that.
const KEPT_PER_NAME_MAX: u32 = 100;

/// Extensions of what is taken in: what stops and limits comes before what sends.
const KINDS: [&str; 8] = ["freeze", "ended", "cancel", "policy", "hands", "clock", "settlement", "approval"];

/// A file whose signature and content hold.
#[derive(Debug)]
enum HandedIn {
    /// `*.approval`
    Approval(Box<Verified>),
    /// `*.settlement`
    Settlement(Settlement),
    /// `*.clock`
    Clock(ClockSettlement),
    /// `*.cancel`: the name says what is not wanted any more. It only stops, so nobody has to sign it.
    Cancel(ActionHash),
    /// `*.ended`: the name says which standing approval. It only stops, so nobody has to sign it.
    Ended(StandingId),
    /// `*.policy`, with its bytes.
    Policy(Policy, Vec<u8>),
    /// `*.hands`: when it was signed, what it declares, and its bytes.
    Hands(Timestamp, Hands, Vec<u8>),
    /// `*.freeze`: verified where it is taken in.
    Freeze(Vec<u8>),
}

/// Why a file is not taken up.
#[derive(Debug)]
struct Rejected {
    /// For the audit log.
    code: &'static str,
    /// For the operator.
    why: String,
    /// What the file claims to be about.
    action: Option<ActionHash>,
}

impl Executor {
    /// Looks at the roster, takes up whatever lies in `approved/`, and looks at the brake.
    ///
    /// A freeze holds at once. A lift lets go on when all is read: what was cancelled beside it does not go out.
    pub(super) fn take_in(&mut self) -> anyhow::Result<()> {
        self.refresh_authority()?;
        self.look_for_freeze();
        let directory = self.home.approved();
        let files = waiting(&directory).with_context(|| format!("listing {}", directory.display()))?;
        for path in files {
            failpoint!("about to read a file");
            let handed_in = match read(&path, self.authority.roster(), self.me, now()) {
                None => continue,
                Some(Err(rejected)) => {
                    self.reject(&path, &rejected)?;
                    continue;
                }
                Some(Ok(handed_in)) => handed_in,
            };
            failpoint!("file read");
            match handed_in {
                HandedIn::Approval(verified) => {
                    handed_in::forget_refusal(&self.home, verified.decision.action);
                    self.handle(Input::Approved(verified));
                }
                HandedIn::Settlement(settlement) => self.handle(Input::Settled(settlement)),
                HandedIn::Cancel(action) if self.journal.is_under_way(action) => {
                    self.handle(Input::Cancelled(action));
                    // The file stays until the hand answered: a restart meanwhile must hear of it too.
                    continue;
                }
                HandedIn::Cancel(action) => self.handle(Input::Cancelled(action)),
                HandedIn::Ended(standing) => self.end_standing(standing)?,
                HandedIn::Clock(settlement) => {
                    if let Err(why) = self.settle_clock(settlement)? {
                        self.reject(&path, &Rejected { code: "clock", why: why.to_owned(), action: None })?;
                        continue;
                    }
                }
                HandedIn::Policy(policy, _) if policy.issued <= self.journal.policy().issued => {
                    let why = "a policy that is as new or newer is in force".to_owned();
                    self.reject(&path, &Rejected { code: "older_policy", why, action: None })?;
                    continue;
                }
                // Kept first: what it forbids is not sent after a restart either.
                HandedIn::Policy(policy, bytes) => {
                    private_file::write_private(&self.home.executor_policy(), &bytes)?;
                    self.handle(Input::PolicyChanged(policy));
                }
                HandedIn::Hands(issued, _, _) if issued <= self.hands_issued => {
                    let why = "a declaration that is as new or newer is in force".to_owned();
                    self.reject(&path, &Rejected { code: "older_hands", why, action: None })?;
                    continue;
                }
                HandedIn::Hands(issued, declared, bytes) => self.declare(issued, declared, &bytes)?,
                HandedIn::Freeze(record) => {
                    self.brake.accept(self.authority.roster(), &record)?;
                    self.look_for_freeze();
                }
            }
            self.pump()?;
            failpoint!("file acted on");
            match self.refused.take() {
                Some((action, why)) => {
                    self.reject(&path, &Rejected { code: why.as_str(), why: why.to_string(), action: Some(action) })?;
                }
                // Its row is durable, so the file has done its duty.
                None => remove(&path)?,
            }
            failpoint!("file gone");
        }
        self.look_at_brake();
        Ok(())
    }

    /// Goes by the clock again, or says why the word on it does not count.
    fn settle_clock(&mut self, settlement: ClockSettlement) -> anyhow::Result<Result<(), &'static str>> {
        let now = now();
        if let Some(why) = self.journal.refusal_of_clock(now, settlement) {
            return Ok(Err(why));
        }
        // Durable before anything is sent by it.
        self.store.settle_clock(self.journal.times_when_settled(now, settlement))?;
        self.journal.handle(now, Input::ClockSettled(settlement));
        tracing::warn!(at = %settlement.at, "the clock was settled");
        Ok(Ok(()))
    }

    /// Goes by other declared hands; what needs another wall is carried by the next process.
    fn declare(&mut self, issued: Timestamp, declared: Hands, bytes: &[u8]) -> anyhow::Result<()> {
        private_file::write_private(&self.home.executor_hands(), bytes)?;
        self.hands_issued = issued;
        self.is_outgrown = !self.reach.covers(&self.hands.reach_with(&declared));
        self.hands.declare(declared);
        self.handle(Input::HandsChanged(self.hands.digests()));
        tracing::info!(%issued, "other hands are declared");
        Ok(())
    }

    fn reject(&mut self, path: &Path, rejected: &Rejected) -> anyhow::Result<()> {
        let Rejected { code, why, action } = rejected;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        tracing::warn!(file = %name, code, why, "refused");
        let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or("file");
        let action_type = format!("{kind}_refused");
        self.receipts.note_refusal(now(), &action_type, &name, action.map(|action| action.to_string()), code)?;
        failpoint!("refusal in the audit log");
        if let Some(action) = action.filter(|_| has_extension(path, "approval")) {
            let refusal = Refusal { code: (*code).to_owned(), why: why.clone(), at_ms: now().as_millis() };
            handed_in::note_refusal(&self.home, action, &refusal);
        }
        set_aside(path, &start::refused_directory(&self.home))
            .with_context(|| format!("moving {} out of the way", path.display()))
    }
}

/// Files that wait in the directory, by kind and name. Others' temporary files carry other names.
fn waiting(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type().is_ok_and(|found| found.is_dir()) {
            // Another user's could not even be moved out of the way.
            continue;
        }
        let is_hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if !is_hidden && KINDS.iter().any(|kind| has_extension(&path, kind)) {
            paths.push(path);
        }
    }
    let rank = |path: &Path| KINDS.iter().position(|kind| has_extension(path, kind));
    paths.sort_by_cached_key(|path| (rank(path), path.clone()));
    Ok(paths)
}

/// Reads and verifies one file; `None` when it is gone or cannot be read now.
fn read(path: &Path, roster: &Roster, me: NodeId, now: Timestamp) -> Option<Result<HandedIn, Rejected>> {
    let rejected = |code, why: String| Some(Err(Rejected { code, why, action: None }));
    if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.len() > FILE_BYTES_MAX) {
        return rejected("too_large", format!("more than {FILE_BYTES_MAX} bytes"));
    }
    let bytes = match private_file::read_private(path) {
        Ok(bytes) => bytes,
        Err(error @ PrivacyError::Io { .. }) => {
            if !error.is_io(io::ErrorKind::NotFound) {
                tracing::warn!(%error, "cannot read an approval; trying again");
            }
            return None;
        }
        Err(error) => return rejected("not_private", error.to_string()),
    };
    if has_extension(path, "freeze") {
        return Some(Ok(HandedIn::Freeze(bytes.expose().clone())));
    }
    if has_extension(path, "cancel") {
        return Some(cancelled(path));
    }
    if has_extension(path, "ended") {
        return Some(ended(path));
    }
    if has_extension(path, "policy") {
        return Some(policy(bytes.expose(), roster));
    }
    if has_extension(path, "hands") {
        return Some(hands(bytes.expose(), roster));
    }
    if has_extension(path, "clock") {
        return Some(clock(bytes.expose(), roster));
    }
    if roster.not_after < now {
        let why = format!("the roster expired at {}; renew it with the root key, then approve again", roster.not_after);
        return rejected("roster_expired", why);
    }
    Some(if has_extension(path, "approval") {
        approval(bytes.expose(), roster, me, now)
    } else {
        settlement(bytes.expose(), roster)
    })
}

fn approval(bytes: &[u8], roster: &Roster, me: NodeId, now: Timestamp) -> Result<HandedIn, Rejected> {
    let refused = |error: BundleError, action| Rejected { code: code_of(&error), why: error.to_string(), action };
    let bundle = Bundle::from_bytes(bytes).map_err(|error| refused(error.into(), None))?;
    let claimed = bundle.claimed_action();
    let verified = bundle.verify(roster, me, now).map_err(|error| refused(error, claimed))?;
    Ok(HandedIn::Approval(Box::new(verified)))
}

fn cancelled(path: &Path) -> Result<HandedIn, Rejected> {
    let action = path.file_stem().and_then(|name| name.to_str()?.parse().ok());
    let why = || "the file's name is no action hash".to_owned();
    action.map(HandedIn::Cancel).ok_or_else(|| Rejected { code: "form", why: why(), action: None })
}

fn ended(path: &Path) -> Result<HandedIn, Rejected> {
    let standing = path.file_stem().and_then(|name| name.to_str()?.parse().ok());
    let why = || "the file's name is no ID of a standing approval".to_owned();
    standing.map(HandedIn::Ended).ok_or_else(|| Rejected { code: "form", why: why(), action: None })
}

fn policy(bytes: &[u8], roster: &Roster) -> Result<HandedIn, Rejected> {
    roster
        .by_approver(|key| Policy::verify(key, roster.mesh, bytes))
        .map(|policy| HandedIn::Policy(policy, bytes.to_vec()))
        .map_err(|error| Rejected { code: "signature", why: error.to_string(), action: None })
}

fn hands(bytes: &[u8], roster: &Roster) -> Result<HandedIn, Rejected> {
    let rejected = |code, why: String| Rejected { code, why, action: None };
    let signed = roster
        .by_approver(|key| SignedHands::verify(key, roster.mesh, bytes))
        .map_err(|error| rejected("signature", error.to_string()))?;
    let declared = Hands::parse(&signed.text).map_err(|error| rejected("form", error.to_string()))?;
    Ok(HandedIn::Hands(signed.issued, declared, bytes.to_vec()))
}

fn clock(bytes: &[u8], roster: &Roster) -> Result<HandedIn, Rejected> {
    roster
        .by_approver(|key| ClockSettlement::verify(key, roster.mesh, bytes))
        .map(HandedIn::Clock)
        .map_err(|error| Rejected { code: "signature", why: error.to_string(), action: None })
}

fn settlement(bytes: &[u8], roster: &Roster) -> Result<HandedIn, Rejected> {
    roster
        .by_approver(|key| Settlement::verify(key, roster.mesh, bytes))
        .map(HandedIn::Settlement)
        .map_err(|error| Rejected { code: "signature", why: error.to_string(), action: None })
}

const fn code_of(error: &BundleError) -> &'static str {
    match error {
        BundleError::Form(_) => "form",
        BundleError::Signature(_) => "signature",
        BundleError::Action(_) => "action",
        BundleError::OtherAction => "other_action",
        BundleError::OtherRender => "other_render",
        BundleError::OtherAttachment => "other_attachment",
        BundleError::OtherExecutor => "other_executor",
        BundleError::OldEpoch => "old_epoch",
        BundleError::RosterExpired(_) => "roster_expired",
        BundleError::Expired(_) => "expired",
    }
}

/// Moves a refused file out of the way, where a person finds it.
fn set_aside(path: &Path, refused: &Path) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut target = refused.join(name);
    for copy in 2..=KEPT_PER_NAME_MAX {
        if fs::symlink_metadata(&target).is_err() {
            break;
        }
        let mut name = name.to_owned();
        name.push(format!(".{copy}"));
        target = refused.join(name);
    }
    match fs::rename(path, &target) {
        // The executor's folder may be a file system of its own.
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            fs::copy(path, target).and_then(|_| fs::remove_file(path))
        }
        moved => moved,
    }
}

pub(super) fn remove(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        // Gone, or a folder took its place.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::IsADirectory) => Ok(()),
        removed => removed.with_context(|| format!("removing {}", path.display())),
    }
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn what_is_refused_is_set_aside_also_on_another_file_system() {
        let approved = tempfile::tempdir().unwrap();
        let refused = tempfile::tempdir_in("/dev/shm").unwrap();
        let device = |folder: &tempfile::TempDir| fs::metadata(folder.path()).unwrap().dev();
        assert_ne!(device(&approved), device(&refused), "memory is no disk");
        let file = approved.path().join("x.approval");
        for expected in ["x.approval", "x.approval.2"] {
            fs::write(&file, expected).unwrap();
            set_aside(&file, refused.path()).unwrap();
            assert!(!file.exists());
            assert_eq!(fs::read_to_string(refused.path().join(expected)).unwrap(), expected);
        }
    }
}
