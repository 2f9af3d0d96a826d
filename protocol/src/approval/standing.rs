//! Standing approvals: what a person allows to be sent without looking at each mail, signed and narrow.
//!
//! A [`Standing`] says who may be written to, how often and until when. A [`Request`] names a draft that one may cover; it
//! proves nothing. The executor makes a [`Verified`](super::Verified) of both by [`Standing::admit`], from which a journal's
//! row is made.

mod admission;
mod request;

use std::collections::BTreeSet;

use aiemp_keys::{
    NodeId, PublicKey, Signer, Value,
    cbor::{self, CborError, Fields},
    cose::{self, CoseError},
};
use data_encoding::HEXLOWER;
use thiserror::Error;

use crate::{
    action::{self, Action, ActionKind, Content, DeriveContext, Email, Refusal, address_of, is_address},
    ids::{MeshId, WorkId},
    limits::{CLOCK_BEHIND_MAX, RECIPIENTS_MAX, STANDING_COUNT_MAX, STANDING_LIFETIME_MAX},
    roster::{Role, Roster},
    time::Timestamp,
};

pub use admission::RebuildError;
pub use request::Request;

const DOMAIN: &str = "aiemp-node 2026 standing approval";
/// A hand's name is a word of the settings.
const HAND_BYTES_MAX: usize = 64;

/// Tells one standing approval from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StandingId(pub [u8; 16]);

impl std::fmt::Display for StandingId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

/// A text is no id of a standing approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an ID of a standing approval has 32 hex digits")]
pub struct StandingIdError;

impl std::str::FromStr for StandingId {
    type Err = StandingIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| StandingIdError)?;
        bytes.try_into().map(Self).map_err(|_| StandingIdError)
    }
}

/// What may be sent without a person looking at it: mails, by one hand, in one name, to these people.
///
/// `[1, id, kind, hand, sender, [recipient…], count, issued, until, text by cloud, executor, epoch]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its id, drawn at random.
    pub id: StandingId,
    /// The hand that sends.
    pub hand: String,
    /// The sender: `Name <a@b.test>`, as it stands in the mail.
    pub sender: String,
    /// Addresses, in lower case. A mail goes to some of them and to nobody else.
    pub recipients: BTreeSet<String>,
    /// How many mails, in all.
    pub count: u64,
    /// When it was signed.
    pub issued: Timestamp,
    /// After this it is void.
    pub until: Timestamp,
    /// Whether text counts that a Cloud member wrote, or had a hand in.
    pub text_by_cloud: bool,
    /// The one node that may act on it.
    pub executor: NodeId,
    /// The roster epoch that named executor and approver.
    pub epoch: u64,
}

/// What makes a standing approval one that nobody may sign.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StandingError {
    /// No recipients, or too many.
    #[error("a standing approval names 1 to {RECIPIENTS_MAX} recipients")]
    Recipients,
    /// A recipient is no plain address in lower case.
    #[error("`{0}` is no plain address such as a@client.test")]
    Address(String),
    /// The sender is no address.
    #[error("`{0}` is no sender such as `Name <me@mine.test>`")]
    Sender(String),
    /// The hand has no name, or an impossible one.
    #[error("the hand has no name that a setting can have")]
    Hand,
    /// Too few, or too many.
    #[error("a standing approval allows 1 to {STANDING_COUNT_MAX} mails")]
    Count,
    /// It ends before it begins, or too late.
    #[error("a standing approval lasts from a moment to 30 days")]
    Lifetime,
}

/// Why nothing is sent for a request.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Uncovered {
    /// It names another executor, or the roster does.
    #[error("the standing approval is for another executor")]
    OtherExecutor,
    /// The roster changed since it was signed.
    #[error("the standing approval is of an older roster; sign it again")]
    OldEpoch,
    /// The roster that names executor and approver expired.
    #[error("the roster expired at {0}; renew it with the root key, then sign the standing approval again")]
    RosterExpired(Timestamp),
    /// Its time is over.
    #[error("the standing approval ended at {0}")]
    Ended(Timestamp),
    /// It was signed later than now.
    #[error("the standing approval was signed at {0}, which is still to come; set the clock right")]
    NotYet(Timestamp),
    /// The draft was looked at too long ago.
    #[error("the request is older than a minute")]
    Stale,
    /// The draft does not lie where drafts wait.
    #[error("the note does not lie under Pending_Approval/")]
    NotWaiting,
    /// Somebody else than a Local member wrote it.
    #[error("a Cloud member had a hand in the draft, which the standing approval does not allow")]
    TextByCloud,
    /// The note yields no action.
    #[error("the note is no draft: {0}")]
    NotADraft(String),
    /// The draft's own time is over.
    #[error("the draft expired at {0}")]
    DraftExpired(Timestamp),
    /// Only mails go out.
    #[error("a standing approval sends mails only, no {0}")]
    Kind(ActionKind),
    /// It goes by another hand.
    #[error("the draft goes by another hand")]
    Hand,
    /// It goes out in another name.
    #[error("the draft goes out in another name")]
    Sender,
    /// Somebody is not listed.
    #[error("{0} is not among the recipients")]
    Recipient(String),
    /// Attachments are looked at by a person.
    #[error("nothing is sent along under a standing approval")]
    Attachment,
}

impl Uncovered {
    /// The code in the audit log.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::OtherExecutor => "other_executor",
            Self::OldEpoch => "old_epoch",
            Self::RosterExpired(_) => "roster_expired",
            Self::Ended(_) => "expired",
            Self::NotYet(_) => "not_yet",
            Self::Stale => "stale",
            Self::NotWaiting => "not_waiting",
            Self::TextByCloud => "text_by_cloud",
            Self::NotADraft(_) => "not_a_draft",
            Self::DraftExpired(_) => "draft_expired",
            Self::Kind(_) => "other_kind",
            Self::Hand => "other_hand",
            Self::Sender => "other_sender",
            Self::Recipient(_) => "other_recipient",
            Self::Attachment => "attachment",
        }
    }
}

impl Standing {
    /// What every standing approval keeps, whoever signed it.
    pub fn check(&self) -> Result<(), StandingError> {
        if !(1..=RECIPIENTS_MAX).contains(&self.recipients.len()) {
            return Err(StandingError::Recipients);
        }
        let is_plain = |to: &&String| is_address(to) && address_of(to) == *to && **to == to.to_ascii_lowercase();
        if let Some(other) = self.recipients.iter().find(|to| !is_plain(to)) {
            return Err(StandingError::Address(other.clone()));
        }
        if !is_address(&self.sender) {
            return Err(StandingError::Sender(self.sender.clone()));
        }
        let is_word = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if self.hand.is_empty() || self.hand.len() > HAND_BYTES_MAX || !self.hand.chars().all(is_word) {
            return Err(StandingError::Hand);
        }
        if !(1..=STANDING_COUNT_MAX).contains(&self.count) {
            return Err(StandingError::Count);
        }
        if self.until <= self.issued || self.until > self.issued + STANDING_LIFETIME_MAX {
            return Err(StandingError::Lifetime);
        }
        Ok(())
    }

    /// Signs with the approve key.
    pub fn sign(&self, approve: &Signer, mesh: MeshId) -> Vec<u8> {
        cose::sign1(approve, DOMAIN, &[mesh.to_value()], &self.to_bytes())
    }

    /// Verifies with one of the roster's approvers.
    pub fn verify(approver: &PublicKey, mesh: MeshId, bytes: &[u8]) -> Result<Self, CoseError> {
        let payload = cose::verify1(approver, DOMAIN, &[mesh.to_value()], bytes)?;
        Self::from_bytes(&payload).map_err(|_| CoseError::Malformed)
    }

    /// Whether it may be acted on by this node, now.
    pub fn in_force(&self, roster: &Roster, executor: NodeId, now: Timestamp) -> Result<(), Uncovered> {
        if self.executor != executor || roster.executor != executor {
            return Err(Uncovered::OtherExecutor);
        }
        if self.epoch != roster.epoch {
            return Err(Uncovered::OldEpoch);
        }
        if roster.not_after < now {
            return Err(Uncovered::RosterExpired(roster.not_after));
        }
        if self.until < now {
            return Err(Uncovered::Ended(self.until));
        }
        if self.issued > now + CLOCK_BEHIND_MAX {
            return Err(Uncovered::NotYet(self.issued));
        }
        Ok(())
    }

    /// What the note of a request would send, if this covers it.
    pub fn read(&self, request: &Request, roster: &Roster, now: Timestamp) -> Result<Action, Uncovered> {
        if request.path.key().split_once('/').is_none_or(|(folder, _)| folder != "pending_approval") {
            return Err(Uncovered::NotWaiting);
        }
        let is_local = |node: &NodeId| roster.member(*node).is_some_and(|member| member.role == Role::Local);
        let by_locals = !request.authors.is_empty() && request.authors.iter().all(is_local);
        if !by_locals && !self.text_by_cloud {
            return Err(Uncovered::TextByCloud);
        }
        let context = DeriveContext {
            file: request.file,
            fallback_work: WorkId(action::action_id(request.file)),
            default_hand: &self.hand,
            default_from: Some(&self.sender),
            attachment: &|_| None,
        };
        let told = |refusals: Vec<Refusal>| refusals.first().map(ToString::to_string).unwrap_or_default();
        let draft = action::derive(&request.note, &context).map_err(|why| Uncovered::NotADraft(told(why)))?;
        if let Some(expires) = draft.expires.filter(|expires| *expires < now) {
            return Err(Uncovered::DraftExpired(expires));
        }
        self.covers(&draft.action)?;
        Ok(draft.action)
    }

    /// Whether an action lies within it.
    pub fn covers(&self, action: &Action) -> Result<(), Uncovered> {
        let Content::Email(email) = &action.content else { return Err(Uncovered::Kind(action.kind())) };
        let Email { hand, from, attachments, .. } = email;
        if *hand != self.hand {
            return Err(Uncovered::Hand);
        }
        if *from != self.sender {
            return Err(Uncovered::Sender);
        }
        if !attachments.is_empty() {
            return Err(Uncovered::Attachment);
        }
        let addresses = email.recipients().into_iter().map(|to| address_of(to).to_ascii_lowercase());
        match addresses.into_iter().find(|to| !self.recipients.contains(to)) {
            Some(other) => Err(Uncovered::Recipient(other)),
            None => Ok(()),
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(&cbor::array([
            cbor::uint(1),
            cbor::bytes(&self.id.0),
            cbor::uint(ActionKind::Email.code()),
            cbor::text(&self.hand),
            cbor::text(&self.sender),
            cbor::array(self.recipients.iter().map(|to| cbor::text(to))),
            cbor::uint(self.count),
            cbor::uint(self.issued.as_millis()),
            cbor::uint(self.until.as_millis()),
            Value::Bool(self.text_by_cloud),
            self.executor.to_value(),
            cbor::uint(self.epoch),
        ]))
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, CborError> {
        let mut fields = Fields::decode(bytes, "standing approval")?;
        if fields.uint()? != 1 {
            return Err(fields.invalid());
        }
        let id = StandingId(fields.fixed()?);
        // Whoever adds a kind says first who may be paid, or what may be posted.
        if fields.uint()? != ActionKind::Email.code() {
            return Err(fields.invalid());
        }
        let (hand, sender) = (fields.text()?, fields.text()?);
        let recipients = fields.list_of(|value| value.into_text().map_err(|_| CborError::Malformed))?;
        if !recipients.is_sorted_by(|before, after| before < after) {
            return Err(fields.invalid());
        }
        let standing = Self {
            id,
            hand,
            sender,
            recipients: recipients.into_iter().collect(),
            count: fields.uint()?,
            issued: Timestamp::from_millis(fields.uint()?),
            until: Timestamp::from_millis(fields.uint()?),
            text_by_cloud: fields.bool()?,
            executor: NodeId::read(&mut fields)?,
            epoch: fields.uint()?,
        };
        standing.check().map_err(|_| fields.invalid())?;
        fields.end()?;
        Ok(standing)
    }
}
