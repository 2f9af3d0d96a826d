//! What the reviewer hands to the executor: complete, so that nothing is looked up again.

use aiemp_keys::{
    NodeId, Value,
    cbor::{self, CborError, Fields},
    cose::CoseError,
};
use thiserror::Error;

use super::{decision::Decision, standing::Standing};
use crate::{
    action::{self, Action, ActionError, Attachment, AttachmentSource, MarkedValue, Marks, RENDERER_VERSION},
    ids::{ActionHash, ContentHash, FileId},
    roster::Roster,
    time::Timestamp,
    vault_path::VaultPath,
};

/// A signed approval with everything it speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// The signed [`Decision`]; in a row under a standing approval, that one and when it was acted on.
    pub approval: Vec<u8>,
    /// The action's canonical bytes.
    pub action: Vec<u8>,
    /// What the renderer marked, so that the shown text can be made again.
    pub marks: Marks,
    /// The draft that the action was derived from.
    pub file: FileId,
    /// Where it lay.
    pub path: VaultPath,
    /// Its bytes when it was approved.
    pub note: Vec<u8>,
    /// Contents of the attachments, in the action's order.
    pub attachments: Vec<Vec<u8>>,
}

/// A bundle whose every part was checked against the signature.
#[derive(Clone, Debug)]
pub struct Verified {
    /// What was signed.
    pub decision: Decision,
    /// What is to be done.
    pub action: Action,
    /// The bundle.
    pub bundle: Bundle,
    /// The standing approval that it goes out under; none where a person decided about the action itself.
    pub standing: Option<Standing>,
}

/// Why a bundle is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BundleError {
    /// Not the fixed form.
    #[error("the approval file is malformed: {0}")]
    Form(#[from] CborError),
    /// Not signed by an approver of the roster.
    #[error("the approval is not signed by an approver of this mesh: {0}")]
    Signature(#[from] CoseError),
    /// The action's bytes are not an action.
    #[error("the action is malformed: {0}")]
    Action(#[from] ActionError),
    /// The action is not the one that was signed.
    #[error("the action differs from the one that was approved")]
    OtherAction,
    /// The shown text is not the one that was signed.
    #[error("the action would be shown differently than it was when it was approved")]
    OtherRender,
    /// An attachment is not the one that was signed.
    #[error("an attachment differs from the one that was approved")]
    OtherAttachment,
    /// The approval names another node.
    #[error("the approval is for another executor")]
    OtherExecutor,
    /// The roster changed who executes or approves.
    #[error("the approval is of an older roster; approve again")]
    OldEpoch,
    /// The roster that names executor and approver expired.
    #[error("the roster expired at {0}; renew it with the root key, then approve again")]
    RosterExpired(Timestamp),
    /// It expired.
    #[error("the approval expired at {0}; approve again")]
    Expired(Timestamp),
}

impl Bundle {
    /// The wire form: `[approval, action, [first time, attachment sources], file, path, note, attachments]`.
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(&cbor::array([
            cbor::bytes(&self.approval),
            cbor::bytes(&self.action),
            self.marks_value(),
            self.file.to_value(),
            cbor::text(self.path.as_str()),
            cbor::bytes(&self.note),
            cbor::array(self.attachments.iter().map(|bytes| cbor::bytes(bytes))),
        ]))
    }

    fn marks_value(&self) -> Value {
        let source = |AttachmentSource { path, is_private }: &AttachmentSource| {
            cbor::array([cbor::text(path.as_str()), Value::Bool(*is_private)])
        };
        cbor::array([
            cbor::array(self.marks.first_time.iter().map(MarkedValue::to_value)),
            cbor::array(self.marks.attachment_sources.iter().map(source)),
        ])
    }

    /// Reads the wire form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CborError> {
        let mut fields = Fields::decode(bytes, "approval bundle")?;
        let approval = fields.bytes()?;
        let action = fields.bytes()?;
        let mut marks = Fields::of(fields.value()?, "marks")?;
        let first_time = MarkedValue::read_set(&mut marks)?;
        let attachment_sources = marks.list_of(read_source)?;
        marks.end()?;
        let file = FileId::read(&mut fields)?;
        let path = VaultPath::parse(&fields.text()?).map_err(|_| fields.invalid())?;
        let note = fields.bytes()?;
        let attachments = fields.list_of(|value| value.into_bytes().map_err(|_| CborError::Malformed))?;
        fields.end()?;
        let marks = Marks { first_time, attachment_sources, ..Marks::of_note(&path, &note) };
        Ok(Self { approval, action, marks, file, path, note, attachments })
    }

    /// Checks every part against the signature, and the signature against the roster. The journal checks the rest:
    /// that the nonce, the action and the work are new, and that the policy allows it.
    pub fn verify(self, roster: &Roster, executor: NodeId, now: Timestamp) -> Result<Verified, BundleError> {
        let decision = roster.by_approver(|key| Decision::verify(key, roster.mesh, &self.approval))?;
        let action = Action::from_bytes(&self.action)?;
        if action.hash() != decision.action || action.file != action::action_id(self.file) {
            return Err(BundleError::OtherAction);
        }
        // Path and note are shown as they are here, whatever the marks say: both were signed with what was shown.
        let Marks { note, .. } = Marks::of_note(&self.path, &self.note);
        let shown = action::render(&action, &Marks { note, ..self.marks.clone() }).hash();
        if decision.renderer != RENDERER_VERSION || decision.render != shown {
            return Err(BundleError::OtherRender);
        }
        self.check_attachments(&action)?;
        if decision.executor != executor || roster.executor != executor {
            return Err(BundleError::OtherExecutor);
        }
        if decision.epoch != roster.epoch {
            return Err(BundleError::OldEpoch);
        }
        if roster.not_after < now {
            return Err(BundleError::RosterExpired(roster.not_after));
        }
        if decision.expiry < now {
            return Err(BundleError::Expired(decision.expiry));
        }
        Ok(Verified { decision, action, bundle: self, standing: None })
    }

    fn check_attachments(&self, action: &Action) -> Result<(), BundleError> {
        let listed = action.content.attachments();
        let sources = &self.marks.attachment_sources;
        let named = |(listed, source): (&Attachment, &AttachmentSource)| listed.name == source.path.name();
        if listed.len() != sources.len() || !listed.iter().zip(sources).all(named) {
            return Err(BundleError::OtherAttachment);
        }
        let fits = |(listed, bytes): (&Attachment, &Vec<u8>)| {
            listed.length == bytes.len() as u64 && ContentHash::of(bytes) == listed.hash
        };
        if listed.len() == self.attachments.len() && listed.iter().zip(&self.attachments).all(fits) {
            Ok(())
        } else {
            Err(BundleError::OtherAttachment)
        }
    }

    /// The hash that the file's action bytes claim, before anything is verified: for messages.
    pub fn claimed_action(&self) -> Option<ActionHash> {
        Action::from_bytes(&self.action).ok().map(|action| action.hash())
    }
}

fn read_source(value: Value) -> Result<AttachmentSource, CborError> {
    let mut fields = Fields::of(value, "attachment source")?;
    let path = VaultPath::parse(&fields.text()?).map_err(|_| fields.invalid())?;
    let is_private = fields.bool()?;
    fields.end()?;
    Ok(AttachmentSource { path, is_private })
}
