//! Attacks on what is approved: forged, changed, old and repeated approvals.

use aiemp_keys::Signer;
use aiemp_protocol::{
    action::{self, Action, Content, Email, Marks, RENDERER_VERSION},
    approval::{
        Bundle, BundleError, Decision, Policy,
        journal::{Dispatched, Input, Journal, Output},
    },
    freeze::{Brake, FreezeRecord, Freezes},
    ids::{Audience, FileId, LogId, WorkId},
    limits::APPROVAL_LIFETIME,
    time::Timestamp,
    vault_path::VaultPath,
    zone::Zone,
};
use anyhow::Result;

use super::{Tried, mesh::Mesh};
use crate::shell::clock;

/// The draft that the approvals are about.
const NOTE: &[u8] = b"---\naction: email\n---\n";

fn path() -> VaultPath {
    VaultPath::parse("Pending_Approval/mail.md").expect("a path")
}

fn marks() -> Marks {
    Marks::of_note(&path(), NOTE)
}

impl Mesh {
    pub(super) fn decision(&self, action: &Action, nonce: u8, now: Timestamp) -> Decision {
        Decision {
            action: action.hash(),
            render: action::render(action, &marks()).hash(),
            renderer: RENDERER_VERSION,
            nonce: [nonce; 16],
            expiry: now + APPROVAL_LIFETIME,
            executor: self.local.node_id(),
            policy: Policy::default().digest(),
            epoch: self.rosters.current().epoch,
            repeat_of: None,
        }
    }

    pub(super) fn bundle(&self, signer: &Signer, action: &Action, decision: &Decision) -> Bundle {
        Bundle {
            approval: decision.sign(signer, self.rosters.current().mesh),
            action: action.to_bytes(),
            marks: marks(),
            file: self.file(),
            path: path(),
            note: NOTE.to_vec(),
            attachments: Vec::new(),
        }
    }

    pub(super) fn file(&self) -> FileId {
        let log = LogId { author: self.cloud.node_id(), generation: 0, audience: Audience::All };
        FileId::fresh(Zone::Drafts, log, 1, 0)
    }

    fn mail(&self, subject: &str) -> Action {
        let file = self.file();
        let content = Content::Email(Email {
            hand: "smtp".to_owned(),
            from: "me@example.test".to_owned(),
            to: vec!["client@client.test".to_owned()],
            cc: Vec::new(),
            bcc: Vec::new(),
            subject: subject.to_owned(),
            body: "Hello\n".to_owned(),
            in_reply_to: None,
            references: Vec::new(),
            attachments: Vec::new(),
        });
        Action { file: action::action_id(file), work: WorkId(file.hash), content }
    }
}

pub(super) fn attacks() -> Result<Vec<Tried>> {
    let (mesh, other) = (Mesh::found()?, Mesh::found()?);
    let now = clock::now();
    let (mail, changed) = (mesh.mail("The offer"), mesh.mail("Another offer"));
    let decision = mesh.decision(&mail, 1, now);
    let good = mesh.bundle(&mesh.approve, &mail, &decision);
    let verify = |bundle: Bundle, at: Timestamp| bundle.verify(mesh.rosters.current(), mesh.local.node_id(), at);
    let of = |decision: &Decision| verify(mesh.bundle(&mesh.approve, &mail, decision), now);
    let forged = |signer: &Signer| verify(mesh.bundle(signer, &mail, &decision), now);
    let mut tried = vec![
        Tried::refused("Cloud signs an approval", forged(&mesh.cloud)),
        Tried::refused("the approver of another mesh signs it", forged(&other.approve)),
        Tried::refused(
            "other words stand under a signed approval",
            verify(Bundle { action: changed.to_bytes(), ..good.clone() }, now),
        ),
        Tried::refused(
            "another note would be filed for a signed approval",
            verify(Bundle { note: b"---\naction: payment\n---\n".to_vec(), ..good.clone() }, now),
        ),
        Tried::refused(
            "what was shown differs from what is signed",
            of(&Decision { render: changed.hash().0, ..decision.clone() }),
        ),
        Tried::refused(
            "it names another executor",
            of(&Decision { executor: mesh.cloud.node_id(), ..decision.clone() }),
        ),
        Tried::refused("it is of an older roster", of(&Decision { epoch: 1, ..decision.clone() })),
        Tried::refused(
            "it is handed in a day late",
            verify(good.clone(), now + APPROVAL_LIFETIME + std::time::Duration::from_millis(1)),
        ),
        bits(&mesh, &good, now),
    ];
    tried.extend(repetitions(&mesh, &mail, good, now)?);
    tried.push(lift(&mesh, now));
    let policy = Policy::default().sign(&mesh.cloud, mesh.rosters.current().mesh);
    let signed_by_cloud =
        mesh.rosters.current().by_approver(|key| Policy::verify(key, mesh.rosters.current().mesh, &policy));
    tried.push(Tried::refused("Cloud signs a policy without limits", signed_by_cloud));
    Ok(tried)
}

/// Every bit of the signed approval.
fn bits(mesh: &Mesh, good: &Bundle, now: Timestamp) -> Tried {
    let count = good.approval.len() * 8;
    let taken = (0..count).filter(|bit| {
        let mut bundle = good.clone();
        bundle.approval[bit / 8] ^= 1 << (bit % 8);
        bundle.verify(mesh.rosters.current(), mesh.local.node_id(), now).is_ok()
    });
    Tried::all_refused("each bit of an approval is flipped", taken.count(), count)
}

/// What was sent once, by the same approval, by another one, and by another answer to the same work.
fn repetitions(mesh: &Mesh, mail: &Action, good: Bundle, now: Timestamp) -> Result<Vec<Tried>> {
    let mut journal = Journal::default();
    let mut hand_in = |bundle: Bundle| -> Result<Result<usize, BundleError>> {
        let verified = match bundle.verify(mesh.rosters.current(), mesh.local.node_id(), now) {
            Ok(verified) => verified,
            Err(error) => return Ok(Err(error)),
        };
        journal.handle(now, Input::Approved(Box::new(verified)));
        let mut dispatched = 0;
        while let Some(output) = journal.poll_output() {
            match output {
                Output::Persist(row) => journal.handle(now, Input::RowDurable(row.verified.decision.nonce)),
                Output::Dispatch(row) => {
                    dispatched += 1;
                    let answer = Dispatched::Sent("250 ok".to_owned());
                    journal.handle(now, Input::Dispatched(row.verified.decision.nonce, answer));
                }
                Output::LookUp(_)
                | Output::WriteReceipt(_)
                | Output::Refuse { .. }
                | Output::ReportClockBehind { .. } => {}
            }
        }
        Ok(Ok(dispatched))
    };
    let first = hand_in(good.clone())?;
    anyhow::ensure!(first == Ok(1), "an honest approval is not sent: {first:?}");
    let again = mesh.bundle(&mesh.approve, mail, &mesh.decision(mail, 2, now));
    let other = mesh.mail("Another answer");
    let other = mesh.bundle(&mesh.approve, &other, &mesh.decision(&other, 3, now));
    let mut once_more = |name: &str, bundle: Bundle| -> Result<Tried> {
        let sent = hand_in(bundle)?.unwrap_or_default();
        Ok(Tried::refused(name, if sent == 0 { Err("nothing is sent") } else { Ok(sent) }))
    };
    Ok(vec![
        once_more("an approval is put back after it was sent", good)?,
        once_more("the same action is approved a second time", again)?,
        once_more("the same work is answered a second time", other)?,
    ])
}

/// Cloud lifts a freeze of Local's.
fn lift(mesh: &Mesh, now: Timestamp) -> Tried {
    let (mut freezes, roster) = (Freezes::default(), mesh.rosters.current());
    let frozen = FreezeRecord { brake: Brake::Frozen, node: mesh.local.node_id(), at: now };
    let lifted = FreezeRecord { brake: Brake::Lifted, ..frozen };
    let stands = freezes.accept(roster, &frozen.sign(&mesh.local, roster.mesh)).is_ok();
    let by_cloud = freezes.accept(roster, &lifted.sign(&mesh.cloud, roster.mesh));
    let still = stands && freezes.stop(roster, mesh.local.node_id());
    Tried::refused("Cloud lifts a freeze", if still { by_cloud.map(drop) } else { Ok(()) })
}
