//! Receipts for the mesh, and the audit line that goes with each.

use std::{collections::BTreeMap, path::PathBuf};

use aiemp_keys::{Signer, private_file};
use aiemp_protocol::{
    action::{ActionKind, Content, address_of},
    approval::{
        Outcome, Receipt,
        journal::{Row, State},
    },
    roster::Roster,
    time::Timestamp,
};
use anyhow::Context as _;
use data_encoding::HEXLOWER;

use super::dispatch;
use crate::{
    audit::{AuditEvent, AuditLog, masked},
    home::Home,
};

/// What the audit log calls this process.
const ACTOR: &str = "executor";

/// Signs receipts and writes the log.
#[derive(Debug)]
pub(super) struct Receipts {
    directory: PathBuf,
    signer: Signer,
    audit: AuditLog,
}

impl Receipts {
    /// Receipts go into `receipts/` of a home, lines into `audit/executor/`.
    pub(super) fn of(home: &Home, signer: Signer) -> anyhow::Result<Self> {
        let audit = AuditLog::open(&home.audit(), ACTOR, signer.clone()).context("the audit log")?;
        Ok(Self { directory: home.receipts(), signer, audit })
    }

    /// Writes a receipt, complete, under a name that says what it is; writing it again changes nothing.
    pub(super) fn write(&mut self, mut receipt: Receipt, row: &Row, roster: &Roster) -> anyhow::Result<()> {
        receipt.unattended = roster.unattended;
        if let Content::Email(email) = &row.verified.action.content {
            receipt.message_id = Some(dispatch::message_id_of(row, email));
        }
        let outcome = receipt.outcome.as_str();
        let nonce = HEXLOWER.encode(&receipt.nonce);
        let path = self.directory.join(format!("{}-{nonce}-{outcome}.receipt", receipt.action));
        private_file::write_private(&path, &receipt.sign(&self.signer, roster.mesh)).context("writing a receipt")?;
        failpoint!("receipt file written");
        tracing::info!(action = %receipt.action, outcome, attempts = row.attempts, "receipt written");
        let action = &row.verified.action;
        let mut parameters = BTreeMap::from([
            ("action".to_owned(), receipt.action.to_string()),
            ("attempts".to_owned(), row.attempts.to_string()),
            ("hand".to_owned(), action.hand().to_owned()),
            ("kind".to_owned(), receipt.kind.to_string()),
            ("nonce".to_owned(), nonce),
            ("work".to_owned(), receipt.work.to_string()),
        ]);
        let standing = receipt.standing.map(|standing| standing.to_string());
        parameters.extend(standing.clone().map(|id| ("standing".to_owned(), id)));
        parameters.extend(receipt.message_id.map(|id| ("message_id".to_owned(), id)));
        let event = AuditEvent {
            action_type: action_type(receipt.kind).to_owned(),
            actor: ACTOR.to_owned(),
            target: target_of(&action.content),
            parameters,
            approval_status: "approved".to_owned(),
            approved_by: if standing.is_some() { "standing approval" } else { "human" }.to_owned(),
            result: outcome.to_owned(),
        };
        self.audit.append(receipt.at, &event).context("the audit log")
    }

    /// Notes that a file was refused.
    pub(super) fn note_refusal(
        &mut self,
        at: Timestamp,
        action_type: &str,
        file: &str,
        action: Option<String>,
        code: &str,
    ) -> anyhow::Result<()> {
        let mut parameters = BTreeMap::from([("code".to_owned(), code.to_owned())]);
        parameters.extend(action.map(|action| ("action".to_owned(), action)));
        let event = AuditEvent {
            action_type: action_type.to_owned(),
            actor: ACTOR.to_owned(),
            target: file.to_owned(),
            parameters,
            approval_status: "refused".to_owned(),
            approved_by: String::new(),
            result: code.to_owned(),
        };
        self.audit.append(at, &event).context("the audit log")
    }
}

/// The state that a receipt tells of.
pub(super) const fn state_of(outcome: Outcome) -> State {
    match outcome {
        Outcome::Accepted => State::Reserved,
        Outcome::Sent => State::Sent,
        Outcome::Failed => State::Failed,
        Outcome::Unknown => State::Unknown,
    }
}

const fn action_type(kind: ActionKind) -> &'static str {
    match kind {
        ActionKind::Email => "email_send",
        ActionKind::Post => "post_publish",
        ActionKind::Payment => "payment",
        ActionKind::Tool => "tool_call",
        ActionKind::Http => "http_call",
        ActionKind::A2a => "a2a_message",
    }
}

fn target_of(content: &Content) -> String {
    match content {
        Content::Email(email) => {
            let recipients = email.recipients();
            recipients.iter().map(|recipient| masked(address_of(recipient))).collect::<Vec<_>>().join(", ")
        }
        Content::Post(post) => post.network.clone(),
        Content::Payment(_) => "***".to_owned(),
        Content::Tool(tool) => tool.server.clone(),
        Content::Http(http) => http.connector.clone(),
        Content::A2a(a2a) => a2a.agent.clone(),
    }
}
