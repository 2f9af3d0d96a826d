//! One line of a log in its one form.

use std::collections::BTreeMap;

use aiemp_keys::{Hash, Value, cbor};
use aiemp_protocol::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::AuditEvent;

const LABEL: &str = "aiemp-node 2026 audit";

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Written {
    timestamp: String,
    action_type: String,
    actor: String,
    target: String,
    parameters: BTreeMap<String, String>,
    approval_status: String,
    approved_by: String,
    result: String,
    prev: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
}

/// A line with its place in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// As written, without the line end.
    pub(super) text: String,
    /// When, as written.
    pub(super) timestamp: String,
    /// The hash of the line before.
    pub(super) prev: Option<Hash>,
    /// Its own.
    pub(super) hash: Hash,
}

impl Line {
    /// The line that follows `prev`.
    pub(super) fn following(prev: Option<Hash>, at: Timestamp, event: &AuditEvent) -> Self {
        let AuditEvent { action_type, actor, target, parameters, approval_status, approved_by, result } = event.clone();
        let mut written = Written {
            timestamp: at.to_string(),
            action_type,
            actor,
            target,
            parameters,
            approval_status,
            approved_by,
            result,
            prev: prev.map(|hash| hash.to_string()),
            hash: None,
        };
        let hash = hash_of(prev, &canonical(&written));
        written.hash = Some(hash.to_string());
        Self { text: canonical(&written), timestamp: written.timestamp, prev, hash }
    }

    /// Reads a line that is in its one form and hashes to what it says.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut written: Written = serde_json::from_str(text).ok()?;
        if canonical(&written) != text {
            return None;
        }
        let prev = written.prev.as_deref().map(str::parse).transpose().ok()?;
        let hash: Hash = written.hash.take()?.parse().ok()?;
        let fits = hash_of(prev, &canonical(&written)) == hash;
        fits.then(|| Self { text: text.to_owned(), timestamp: written.timestamp, prev, hash })
    }
}

fn canonical(written: &Written) -> String {
    serde_json::to_string(written).expect("strings and maps of strings have a JSON form")
}

fn hash_of(prev: Option<Hash>, canonical: &str) -> Hash {
    Hash::labelled(LABEL, [cbor::option(prev.map(Hash::to_value)), Value::Text(canonical.to_owned())])
}
