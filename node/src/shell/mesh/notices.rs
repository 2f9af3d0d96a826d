//! What a person should know: into the log, without any note's text; what was held, into the home.

use aiemp_crdt::vault::HoldReason;
use aiemp_keys::NodeId;
use aiemp_protocol::{
    freeze::{Brake, FreezeRecord},
    ids::ContentHash,
    vault_path::VaultPath,
};

use crate::{
    audit::AuditEvent,
    core::Notice,
    home::Home,
    shell::{freezes, holds, rosters},
};

/// What the audit log calls this process, and its folder.
pub(super) const MESH: &str = "mesh";

/// What of it belongs into the audit log: decisions and refusals, which are few, and no work.
pub(super) fn audited(notice: &Notice) -> Option<AuditEvent> {
    let event = |action_type: &str, target: String, result: &str| {
        Some(AuditEvent {
            action_type: action_type.to_owned(),
            actor: MESH.to_owned(),
            target,
            approval_status: "none".to_owned(),
            result: result.to_owned(),
            ..AuditEvent::default()
        })
    };
    match notice {
        Notice::BrakeChanged(FreezeRecord { brake: Brake::Frozen, node, .. }) => {
            event("freeze", node.to_string(), "frozen")
        }
        Notice::BrakeChanged(FreezeRecord { brake: Brake::Lifted, node, .. }) => {
            event("unfreeze", node.to_string(), "lifted")
        }
        Notice::Frozen { log, reason } => event("log_frozen", log.author.to_string(), reason.as_str()),
        Notice::Restored { generation } => event("store_restored", format!("generation {generation}"), "continued"),
        Notice::SignatureAsked { path } => event("moved_to_approved", file_of(path), "moved_back"),
        Notice::Held { path, .. } => event("egress", file_of(path), "held"),
        Notice::ContentHeld { path } => event("active_content", file_of(path), "held"),
        Notice::PayloadsLost(lost) => event("store_damaged", format!("{} payloads", lost.len()), "asked_again"),
        Notice::MailTaken { .. }
        | Notice::ArrivalTaken { .. }
        | Notice::NotAMail { .. }
        | Notice::Kept { .. }
        | Notice::Drafted { .. }
        | Notice::Finished { .. }
        | Notice::BrainWaits { .. }
        | Notice::BrainFailed { .. }
        | Notice::Filed { .. }
        | Notice::Dropped { .. }
        | Notice::Waiting { .. }
        | Notice::Withheld { .. }
        | Notice::ChangeRefused { .. } => None,
    }
}

/// A path may say what a note is about: its digest tells one file from another.
fn file_of(path: &VaultPath) -> String {
    ContentHash::of(path.key().as_bytes()).to_string()
}

pub(super) fn tell(home: &Home, notice: Notice) {
    match notice {
        Notice::PayloadsLost(lost) => tracing::error!(?lost, "contents are lacked that were held; the peers are asked"),
        Notice::MailTaken { work, path } => tracing::info!(%work, %path, "mail taken up"),
        Notice::ArrivalTaken { work, path } => tracing::info!(%work, %path, "a task was made of what came"),
        Notice::NotAMail { path, why } => tracing::warn!(%path, why, "not a mail"),
        Notice::Held { path, why } => {
            // The name itself may hold the secret.
            tracing::warn!(file = file_of(&path), %why, "held back: it does not leave this node; see `aiemp-node egress list`");
            holds::keep(home, path.as_str(), holds::SECRET, &why.to_string(), &[]);
        }
        Notice::ContentHeld { path } => {
            tracing::warn!(%path, "holds active content and is not shown as it is now: see `aiemp-node conflicts`");
        }
        Notice::Kept { path, reason: HoldReason::InTheWay, .. } => {
            tracing::warn!(
                file = file_of(&path),
                "a file cannot lie where it belongs: something that does not sync is in its way; see mesh/holds"
            );
            let fix = "what lies there, or is named like a folder of it, does not sync: give it another name";
            holds::keep(home, path.as_str(), HoldReason::InTheWay.as_str(), fix, &[]);
        }
        Notice::Kept { reason: HoldReason::MassRemoval, .. } => {
            tracing::warn!(
                "many files are gone from the vault at once; whether they were to be removed, decide by `aiemp-node conflicts`"
            );
        }
        Notice::Kept { path, bytes, reason } => {
            tracing::warn!(
                file = file_of(&path),
                reason = reason.as_str(),
                "a save did not sync; it is kept under mesh/holds, with where it lay"
            );
            holds::keep(home, path.as_str(), reason.as_str(), "", &bytes);
        }
        Notice::Drafted { work, path } => tracing::info!(%work, %path, "draft waits for approval"),
        Notice::Finished { work, path } => tracing::info!(%work, %path, "a task needs nothing to be sent"),
        Notice::BrainWaits { until, bound } => {
            tracing::warn!(%until, why = bound.as_str(), "tasks wait for the brain");
        }
        Notice::BrainFailed { work, why, .. } => tracing::warn!(%work, why, "the brain failed"),
        Notice::SignatureAsked { path } => {
            tracing::warn!(%path, "moved back: only `aiemp-node approvals approve` approves");
        }
        Notice::Filed { receipt } => {
            tracing::info!(action = %receipt.action, outcome = receipt.outcome.as_str(), "filed");
        }
        Notice::Frozen { log, reason } => {
            tracing::error!(author = %log.author, reason = reason.as_str(), "a log is invalid; nothing more of it is taken");
        }
        Notice::Dropped { hash, author } => {
            let author = author.map(tracing::field::display);
            tracing::error!(%hash, author, "a change was dropped: it cannot be decoded within the limits");
        }
        Notice::Waiting { log, reason } => {
            tracing::warn!(author = %log.author, reason = reason.as_str(), "a log is not followed for now; `peers show` tells more");
        }
        Notice::BrakeChanged(record) => tell_brake(home, &record),
        Notice::Restored { generation } => {
            tracing::warn!(generation, "this home is an older copy of itself; it goes on in a new generation");
        }
        Notice::Withheld { peer, why } => tracing::warn!(%peer, %why, "withheld from a peer"),
        Notice::ChangeRefused { file, author, why } => {
            tracing::error!(%file, %author, why, "a change was refused");
        }
    }
}

fn tell_brake(home: &Home, FreezeRecord { brake, node, at, .. }: &FreezeRecord) {
    match brake {
        Brake::Frozen if stands(home, *node) => {
            tracing::error!(%node, %at, "frozen: see `aiemp-node status`; `aiemp-node unfreeze` lets it go on");
        }
        Brake::Frozen => tracing::info!(%node, %at, "there was a freeze, which was lifted"),
        Brake::Lifted => tracing::info!(%node, %at, "a freeze was lifted"),
    }
}

/// Whether a freeze of this node still holds, by the records in the home; as far as it is not known, it does.
fn stands(home: &Home, node: NodeId) -> bool {
    let Ok(Some(rosters)) = rosters::load(home) else { return true };
    let roster = rosters.current();
    freezes::load_readable(&home.freezes(), roster).standing(roster).any(|(frozen, ..)| frozen == node)
}

/// Keeps a save that reached a file after it was taken off its path. The vault's disk has it as well: what the home cannot
/// take, the next start finds there.
pub(super) fn tell_late(home: &Home, path: Option<VaultPath>, bytes: Vec<u8>) {
    match path {
        Some(path) => tell(home, Notice::Kept { path, bytes, reason: HoldReason::LateSave }),
        None => {
            tell_interrupted(home, &bytes);
        }
    }
}

/// Keeps a save that was being merged when the node ended; says whether it could.
pub(super) fn tell_interrupted(home: &Home, bytes: &[u8]) -> bool {
    tracing::warn!("a save was being merged when the node ended; it is kept under mesh/holds");
    holds::keep(home, "", "interrupted", "compare it with the note that it belongs to", bytes)
}
