//! What the node signs, verified by an implementation of COSE that is not ours.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use aiemp_keys::{
    Hash, PublicKey, Signer,
    cbor::{self, Value},
};
use aiemp_protocol::{
    approval::{Decision, Policy},
    entry::{Entry, Item, SignedEntry},
    ids::{ActionHash, Audience, ConflictId, EntryHash, LogId, MeshId},
    time::Timestamp,
};
use data_encoding::HEXLOWER;
use serde_json::{Value as Json, json};

use crate::deploy::skip;

const VERIFIER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/suite/cose_peer/verify.py");
const APPROVAL_DOMAIN: &str = "aiemp-node 2026 approval";
const ENTRY_DOMAIN: &str = "aiemp-node 2026 entry";

/// A signed thing with what its verifier has to know from elsewhere.
struct Case {
    key: PublicKey,
    /// The domain and the context: signed, and not on the wire.
    aad: Vec<Value>,
    message: Vec<u8>,
}

impl Case {
    fn to_json(&self) -> Json {
        let aad = cbor::encode(&cbor::array(self.aad.iter().cloned()));
        let key = cbor::encode(&self.key.to_value());
        // Less the two bytes that say "byte string of 32".
        json!({ "key": HEXLOWER.encode(&key[2..]), "aad": HEXLOWER.encode(&aad),
                "message": HEXLOWER.encode(&self.message) })
    }

    fn flipped(&self, bit: usize) -> Self {
        let mut message = self.message.clone();
        message[bit / 8] ^= 1 << (bit % 8);
        Self { key: self.key, aad: self.aad.clone(), message }
    }
}

fn mesh() -> MeshId {
    MeshId(Hash::of_content(b"mesh"))
}

fn approval() -> Case {
    let approver = Signer::from_seed([7; 32]);
    let decision = Decision {
        action: ActionHash(Hash::of_content(b"action")),
        render: Hash::of_content(b"render"),
        renderer: 1,
        nonce: [3; 16],
        expiry: Timestamp::from_millis(1_800_000_000_000),
        executor: Signer::from_seed([8; 32]).node_id(),
        policy: Policy::default().digest(),
        epoch: 2,
        repeat_of: None,
    };
    let aad = vec![cbor::text(APPROVAL_DOMAIN), mesh().to_value()];
    Case { key: approver.public(), aad, message: decision.sign(&approver, mesh()) }
}

fn entry() -> Case {
    let author = Signer::from_seed([9; 32]);
    let log = LogId { author: author.node_id(), generation: 1, audience: Audience::All };
    let prev = EntryHash(Hash::of_content(b"the entry before"));
    let item = Item::Resolve { id: ConflictId(Hash::of_content(b"conflict")), choice: "both".to_owned() };
    let hlc = Timestamp::from_millis(1_800_000_000_000);
    let entry = Entry { seq: 2, epoch: 1, hlc, seen: Vec::new(), items: vec![item] };
    let signed = SignedEntry::sign(&author, mesh(), log, Some(prev), entry);
    let aad = vec![cbor::text(ENTRY_DOMAIN), mesh().to_value(), log.to_value(), prev.to_value()];
    Case { key: author.public(), aad, message: signed.cose }
}

/// The verdicts of pycose; none if it cannot be had.
fn verdicts(cases: &[Case]) -> Option<Vec<Json>> {
    let Some(python) = std::env::var_os("AIEMP_TEST_PYTHON") else {
        skip("AIEMP_TEST_PYTHON is not set, so pycose did not verify what the node signs");
        return None;
    };
    let mut child = Command::new(python)
        .arg(VERIFIER)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the interpreter of AIEMP_TEST_PYTHON starts");
    let cases: Vec<_> = cases.iter().map(Case::to_json).collect();
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(json!(cases).to_string().as_bytes()).expect("the verifier reads");
    drop(stdin);
    let output = child.wait_with_output().expect("the verifier ends");
    assert!(output.status.success(), "the verifier ended with {}", output.status);
    Some(serde_json::from_slice(&output.stdout).expect("the verifier prints JSON"))
}

#[test]
fn pycose_verifies_approvals_and_entries_with_their_context() {
    let cases = [approval(), entry()];
    let Some(verdicts) = verdicts(&cases) else { return };
    assert_eq!(verdicts.len(), cases.len());
    for (verdict, case) in verdicts.iter().zip(&cases) {
        assert_eq!(verdict["ok"], true, "{verdict}");
        assert!(verdict["algorithm"].as_str().is_some_and(|name| name.contains("EdDSA")), "{verdict}");
        let payload = HEXLOWER.decode(verdict["payload"].as_str().expect("a payload").as_bytes()).expect("hex");
        assert!(case.message.windows(payload.len()).any(|window| window == payload), "{verdict}");
    }
}

#[test]
fn pycose_refuses_every_flipped_bit() {
    for case in [approval(), entry()] {
        let flipped: Vec<_> = (0..case.message.len() * 8).map(|bit| case.flipped(bit)).collect();
        let Some(verdicts) = verdicts(&flipped) else { return };
        assert_eq!(verdicts.len(), flipped.len());
        let accepted: Vec<_> = (0..verdicts.len()).filter(|bit| verdicts[*bit]["ok"] != false).collect();
        assert!(accepted.is_empty(), "flipped bits {accepted:?} were accepted");
    }
}

#[test]
fn pycose_refuses_another_domain_mesh_log_predecessor_or_key() {
    let other = |at: usize, value: Value| {
        let mut case = entry();
        case.aad[at] = value;
        case
    };
    let hash = Hash::of_content(b"another").to_value();
    let log = LogId { author: Signer::from_seed([9; 32]).node_id(), generation: 2, audience: Audience::All };
    let mut cases = vec![
        other(0, cbor::text(APPROVAL_DOMAIN)),
        other(1, hash.clone()),
        other(2, log.to_value()),
        other(3, hash),
        other(3, Value::Null),
    ];
    cases.push(Case { key: approval().key, ..entry() });
    cases.push(Case { aad: Vec::new(), ..approval() });
    let Some(verdicts) = verdicts(&cases) else { return };
    assert_eq!(verdicts.len(), cases.len());
    assert!(verdicts.iter().all(|verdict| verdict["ok"] == false), "{verdicts:?}");
}
