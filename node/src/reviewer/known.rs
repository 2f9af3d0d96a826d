//! What something was approved with before: recipients, payees, accounts, amounts, hosts of links.
//!
//! A file that the approve key signs. Neither a note of the vault nor another program of this user can make a value
//! known, for both may be under the hand of whoever wants it sent there.

use std::collections::BTreeSet;

use aiemp_keys::{
    Signer,
    cbor::{self, Fields},
    cose, private_file,
};
use aiemp_protocol::{
    action::{Action, MarkedValue},
    approval::Policy,
    roster::Roster,
};
use anyhow::{Context as _, Result};

use crate::home::Home;

const DOMAIN: &str = "aiemp-node 2026 known values";

/// The values.
#[derive(Debug, Default)]
pub(super) struct Known(BTreeSet<MarkedValue>);

impl Known {
    /// Reads them; none where there are none yet, and none where no approver of the mesh signed what lies there.
    pub(super) fn load(home: &Home, roster: &Roster) -> Result<Self> {
        let path = home.known_values();
        let Some(signed) = private_file::find_private(&path)? else { return Ok(Self::default()) };
        let verify = |key: &_| cose::verify1(key, DOMAIN, &[roster.mesh.to_value()], signed.expose());
        let Ok(bytes) = roster.by_approver(verify) else {
            tracing::warn!(path = %path.display(), "no approver of this mesh signed these values: each is new again");
            return Ok(Self::default());
        };
        let read = || {
            let mut fields = Fields::decode(&bytes, "known values")?;
            let values = MarkedValue::read_set(&mut fields)?;
            fields.end()?;
            Ok::<_, cbor::CborError>(Self(values))
        };
        read().with_context(|| format!("{} cannot be read", path.display()))
    }

    /// Those of an action that neither an approval nor the signed policy has named.
    pub(super) fn new_values(&self, action: &Action, policy: &Policy) -> BTreeSet<MarkedValue> {
        let is_new = |value: &MarkedValue| !self.0.contains(value) && !policy.lists(action.kind(), value);
        action.marked_values().into_iter().filter(is_new).collect()
    }

    /// Takes in the values of what is approved; whether one was new.
    pub(super) fn learn(&mut self, action: &Action) -> bool {
        let before = self.0.len();
        self.0.extend(action.marked_values());
        self.0.len() > before
    }

    /// Signs and writes them.
    pub(super) fn store(&self, home: &Home, approve: &Signer, roster: &Roster) -> Result<()> {
        let payload = cbor::array([cbor::array(self.0.iter().map(MarkedValue::to_value))]);
        let signed = cose::sign1(approve, DOMAIN, &[roster.mesh.to_value()], &cbor::encode(&payload));
        private_file::write_private(&home.known_values(), &signed).context("cannot remember what was approved")
    }
}

#[cfg(test)]
mod tests {
    use aiemp_keys::{Hash, next_root_hash};
    use aiemp_protocol::{
        action::{ActionKind, Content, Email},
        approval::policy::Rule,
        ids::WorkId,
        roster::{Member, Quota, Role},
        time::Timestamp,
    };

    use super::*;

    fn mail(to: &str, body: &str) -> Action {
        let email = Email {
            hand: "outbox".to_owned(),
            from: "me@mine.test".to_owned(),
            to: vec![to.to_owned()],
            cc: Vec::new(),
            bcc: Vec::new(),
            subject: "Hello".to_owned(),
            body: body.to_owned(),
            in_reply_to: None,
            references: Vec::new(),
            attachments: Vec::new(),
        };
        let hash = Hash::of_content(b"any");
        Action { file: hash, work: WorkId(hash), content: Content::Email(email) }
    }

    fn texts(values: BTreeSet<MarkedValue>) -> Vec<String> {
        values.into_iter().map(|value| value.text).collect()
    }

    #[test]
    fn a_value_is_new_until_the_approve_key_signed_that_it_is_not() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let home = Home::at(dir.path());
        private_file::create_private_dir(&home.keys()).expect("a folder");
        let [root, approve, node, stranger] = [1, 2, 3, 4].map(|byte| Signer::from_seed([byte; 32]));
        let first = Member {
            node: node.node_id(),
            name: "local".to_owned(),
            role: Role::Local,
            generation_min: 0,
            quota: Quota::default(),
        };
        let next = next_root_hash(&stranger.public());
        let roster = Roster::found(&root, next, approve.public(), first, false, Timestamp::from_millis(1));
        let action = mail("Client A <a@client.test>", "see https://pay.test/1");
        let new = |known: &Known| texts(known.new_values(&action, &Policy::default()));
        let mut known = Known::load(&home, &roster).expect("nothing is there");
        assert_eq!(new(&known), ["a@client.test", "pay.test"]);
        assert!(known.learn(&action) && !known.learn(&action));
        known.store(&home, &stranger, &roster).expect("written");
        assert_eq!(new(&Known::load(&home, &roster).expect("ignored")).len(), 2, "a stranger signed it");
        known.store(&home, &approve, &roster).expect("written");
        assert_eq!(new(&Known::load(&home, &roster).expect("read")), [""; 0]);
    }

    #[test]
    fn whom_the_signed_policy_names_is_not_new() {
        let policy_for = |listed: &str| {
            let rule = Rule { recipients: Some([listed.to_owned()].into()), ..Rule::default() };
            Policy { rules: [(ActionKind::Email, rule)].into(), ..Policy::default() }
        };
        let action = mail("A@Client.test", "see https://client.test");
        for listed in ["a@client.test", "@client.test"] {
            assert_eq!(texts(Known::default().new_values(&action, &policy_for(listed))), ["client.test"], "{listed}");
        }
        assert_eq!(Known::default().new_values(&action, &policy_for("@other.test")).len(), 2);
    }
}
