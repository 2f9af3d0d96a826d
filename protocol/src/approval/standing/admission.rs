//! From a request to a row of the journal, and back from a stored row.

use aiemp_keys::{
    Hash, NodeId,
    cbor::{self, CborError, Fields},
    cose::{self, CoseError},
};
use thiserror::Error;

use super::{Request, Standing, Uncovered};
use crate::{
    action::{self, Action, Marks, RENDERER_VERSION},
    approval::{
        bundle::{Bundle, Verified},
        decision::Decision,
    },
    limits::{APPROVAL_LIFETIME, STANDING_REQUEST_LIFETIME},
    roster::Roster,
    time::Timestamp,
};

const NONCE_LABEL: &str = "aiemp-node 2026 standing nonce";

/// What stands in a row's bundle in place of a signed decision: `[standing approval b, taken u, policy hash]`.
///
/// The bytes differ from any signed decision, which has four parts: neither is ever read as the other.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Use {
    signed: Vec<u8>,
    taken: Timestamp,
    policy: Hash,
}

impl Standing {
    /// Judges a request: the action that may be sent for it, as a row of the journal needs it. `signed` is this standing
    /// approval as it was verified. The journal checks the rest: the count, that action and work are new, the policy.
    pub fn admit(
        &self,
        signed: &[u8],
        request: Request,
        roster: &Roster,
        executor: NodeId,
        policy: Hash,
        now: Timestamp,
    ) -> Result<Verified, Uncovered> {
        self.in_force(roster, executor, now)?;
        let age = now.since(request.asked).max(request.asked.since(now));
        if age > STANDING_REQUEST_LIFETIME {
            return Err(Uncovered::Stale);
        }
        let action = self.read(&request, roster, now)?;
        let used = Use { signed: signed.to_vec(), taken: now, policy };
        let bundle = Bundle {
            approval: used.to_bytes(),
            action: action.to_bytes(),
            marks: Marks::of_note(&request.path, &request.note),
            file: request.file,
            path: request.path,
            note: request.note,
            attachments: Vec::new(),
        };
        Ok(self.verified(&used, action, bundle))
    }

    fn verified(&self, used: &Use, action: Action, bundle: Bundle) -> Verified {
        let decision = Decision {
            action: action.hash(),
            render: action::render(&action, &bundle.marks).hash(),
            renderer: RENDERER_VERSION,
            nonce: self.nonce(&action),
            expiry: used.taken + APPROVAL_LIFETIME,
            executor: self.executor,
            policy: used.policy,
            epoch: self.epoch,
            repeat_of: None,
        };
        Verified { decision, action, bundle, standing: Some(self.clone()) }
    }

    /// The same for the same action: asked for twice, it is one row.
    fn nonce(&self, action: &Action) -> [u8; 16] {
        let hash = Hash::labelled(NONCE_LABEL, [cbor::bytes(&self.id.0), action.hash().to_value()]);
        let mut nonce = [0; 16];
        nonce.copy_from_slice(&hash.as_bytes()[..16]);
        nonce
    }
}

impl Verified {
    /// When nothing more is sent for it: the decision's end, or that of the standing approval.
    pub fn ends(&self) -> Timestamp {
        let expiry = self.decision.expiry;
        self.standing.as_ref().map_or(expiry, |standing| expiry.min(standing.until))
    }

    /// Rebuilds what [`Standing::admit`] gave from the bundle of a row; `None` where a person decided about the action.
    ///
    /// Neither end nor roster is asked: what was verified when it was stored stays valid.
    pub fn under_standing(bundle: &Bundle) -> Option<Result<Self, RebuildError>> {
        let used = Use::from_bytes(&bundle.approval).ok()?;
        Some(used.rebuild(bundle.clone()))
    }
}

/// Why a row under a standing approval is not what was stored.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RebuildError {
    /// The standing approval is damaged.
    #[error("its standing approval is damaged: {0}")]
    Standing(#[from] CoseError),
    /// The action is damaged.
    #[error("its action is damaged")]
    Action,
    /// The standing approval does not cover it.
    #[error("its standing approval does not cover it: {0}")]
    Uncovered(#[from] Uncovered),
}

impl Use {
    fn rebuild(&self, bundle: Bundle) -> Result<Verified, RebuildError> {
        let payload = cose::payload_unverified(&self.signed)?;
        let standing = Standing::from_bytes(&payload).map_err(|_| CoseError::Malformed)?;
        let action = Action::from_bytes(&bundle.action).map_err(|_| RebuildError::Action)?;
        standing.covers(&action)?;
        if action.file != action::action_id(bundle.file) {
            return Err(RebuildError::Action);
        }
        Ok(standing.verified(self, action, bundle))
    }

    fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(&cbor::array([
            cbor::bytes(&self.signed),
            cbor::uint(self.taken.as_millis()),
            self.policy.to_value(),
        ]))
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, CborError> {
        let mut fields = Fields::decode(bytes, "use of a standing approval")?;
        let used =
            Self { signed: fields.bytes()?, taken: Timestamp::from_millis(fields.uint()?), policy: fields.hash()? };
        fields.end()?;
        Ok(used)
    }
}
