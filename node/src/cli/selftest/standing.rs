//! Attacks on standing approvals: what the mesh may ask for, and what allows something at all.

use std::{collections::BTreeSet, time::Duration};

use aiemp_keys::{Hash, Signer};
use aiemp_protocol::{
    approval::{Standing, StandingId, standing::Request},
    ids::FileId,
    time::Timestamp,
    vault_path::VaultPath,
    zone::Zone,
};
use anyhow::{Result, ensure};

use super::{Tried, mesh::Mesh, victim::Victim};
use crate::shell::{clock, standing};

const DAY: Duration = Duration::from_secs(86_400);
/// The draft that goes out.
const HONEST: &str = "to: anna@client.test";

/// Ids of the standing approvals that lie in the victim's home.
#[derive(Clone, Copy)]
enum Id {
    /// For two mails to Anna.
    Good,
    Removed,
    Ended,
    OldRoster,
    OtherExecutor,
    SignedByCloud,
    SignedElsewhere,
    Renamed,
    /// There is none.
    Unknown,
}

impl Id {
    const fn id(self) -> StandingId {
        StandingId([self as u8 + 1; 16])
    }
}

impl Mesh {
    /// Allows two mails to one person.
    pub(super) fn standing(&self, id: StandingId, now: Timestamp) -> Standing {
        Standing {
            id,
            hand: "outbox".to_owned(),
            sender: "Me <me@mine.test>".to_owned(),
            recipients: BTreeSet::from(["anna@client.test".to_owned()]),
            count: 2,
            issued: now,
            until: now + DAY,
            text_by_cloud: false,
            executor: self.local.node_id(),
            epoch: self.rosters.current().epoch,
        }
    }

    /// Asks for a draft of Local's with these lines; another number is another draft.
    fn request(&self, id: Id, number: u8, lines: &str) -> Request {
        let note = format!("---\naction: email\nsubject: Hello\n{lines}\n---\nNumber {number}.\n");
        Request {
            standing: id.id(),
            file: FileId { zone: Zone::Drafts, hash: Hash::of_content(&[number]) },
            path: VaultPath::parse("Pending_Approval/email/a.md").expect("a path"),
            note: note.into_bytes(),
            authors: BTreeSet::from([self.local.node_id()]),
            asked: clock::now(),
        }
    }
}

pub(super) fn attacks() -> Result<Vec<Tried>> {
    let (mesh, other) = (Mesh::found()?, Mesh::found()?);
    let victim = Victim::found(&mesh, "standing")?;
    let good = mesh.standing(Id::Good.id(), clock::now());
    for (id, standing, signer) in allowances(&mesh, &other, &good) {
        standing::keep(&victim.home.standing(), id.id(), &standing.sign(signer, mesh.rosters.current().mesh))?;
    }
    let first = mesh.request(Id::Good, 0, HONEST);
    // They are looked at in the order of their names.
    victim.ask("00", &first)?;
    victim.hand_in(&format!("{}.ended", Id::Removed.id()), b"")?;
    let mut cases = requests(&mesh);
    cases.extend(repetitions(&mesh, &first));
    for (at, (_, _, request)) in cases.iter().enumerate() {
        victim.ask(&format!("1{at:02}"), request)?;
    }
    victim.ask("200", &mesh.request(Id::Good, 100, HONEST))?;
    victim.ask("201", &mesh.request(Id::Good, 101, HONEST))?;
    victim.run()?;
    let mut tried = Vec::new();
    for (at, (name, why, _)) in cases.iter().enumerate() {
        let reason = victim.refusal(&format!("1{at:02}.request"))?;
        tried.push(Tried::refused_for(name, why, reason.as_deref()));
    }
    let third = victim.refusal("201.request")?;
    tried.push(Tried::refused_for("a mail more than was allowed", "standing_used_up", third.as_deref()));
    let (again, back) = (Request { asked: clock::now(), ..first }, mesh.request(Id::Removed, 102, HONEST));
    victim.ask("300", &again)?;
    victim.ask("301", &back)?;
    victim.run()?;
    for (name, file, why) in [
        ("after a restart: a request is handed in again", "300.request", "replayed"),
        ("after a restart: a standing approval that was removed is back", "301.request", "standing_ended"),
    ] {
        tried.push(Tried::refused_for(name, why, victim.refusal(file)?.as_deref()));
    }
    ensure!(victim.mails() >= 2, "of two honest requests {} went out", victim.mails());
    let more = if victim.mails() == 2 { Err("nothing more") } else { Ok(()) };
    tried.push(Tried::refused("a mail goes out for one of these requests", more));
    tried.extend(signed(&mesh, &good));
    Ok(tried)
}

/// What lies in the victim's home, by whom it is signed, and under which id.
fn allowances<'a>(mesh: &'a Mesh, other: &'a Mesh, good: &Standing) -> Vec<(Id, Standing, &'a Signer)> {
    let of = |id: Id| Standing { id: id.id(), ..good.clone() };
    let ended =
        Standing { issued: good.issued.earlier_by(2 * DAY), until: good.issued.earlier_by(DAY), ..of(Id::Ended) };
    let approve = &mesh.approve;
    vec![
        (Id::Good, good.clone(), approve),
        (Id::Removed, of(Id::Removed), approve),
        (Id::Ended, ended, approve),
        (Id::OldRoster, Standing { epoch: good.epoch - 1, ..of(Id::OldRoster) }, approve),
        (Id::OtherExecutor, Standing { executor: mesh.cloud.node_id(), ..of(Id::OtherExecutor) }, approve),
        (Id::SignedByCloud, of(Id::SignedByCloud), &mesh.cloud),
        (Id::SignedElsewhere, of(Id::SignedElsewhere), &other.approve),
        (Id::Renamed, Standing { id: StandingId([99; 16]), ..good.clone() }, approve),
    ]
}

type Case = (&'static str, &'static str, Request);

/// Requests of a mesh process that was taken over, each with the code of its refusal.
fn requests(mesh: &Mesh) -> Vec<Case> {
    let ask = |number, lines: &str| mesh.request(Id::Good, number, lines);
    let under = |id, number| mesh.request(id, number, HONEST);
    let old = ask(10, HONEST).asked.earlier_by(Duration::from_secs(61));
    let post = b"---\naction: post\nnetwork: x\nhand: outbox\n---\nHello\n".to_vec();
    let cloud = BTreeSet::from([mesh.local.node_id(), mesh.cloud.node_id()]);
    let elsewhere = VaultPath::parse("Plans/a.md").expect("a path");
    vec![
        ("a mail to somebody who is not listed", "other_recipient", ask(1, "to: thief@evil.test")),
        (
            "somebody who is not listed gets a blind copy",
            "other_recipient",
            ask(2, &format!("{HONEST}\nbcc: t@evil.test")),
        ),
        (
            "somebody who is not listed under the name of one who is",
            "other_recipient",
            ask(3, "to: anna <t@evil.test>"),
        ),
        ("a mail in another name", "other_sender", ask(4, &format!("{HONEST}\nfrom: boss@mine.test"))),
        ("a mail by another hand", "other_hand", ask(5, &format!("{HONEST}\nhand: smtp"))),
        ("a file is sent along", "not_a_draft", ask(6, &format!("{HONEST}\nattachment: Private/diary.md"))),
        ("a post instead of a mail", "other_kind", Request { note: post, ..ask(7, HONEST) }),
        ("Cloud had a hand in the text", "text_by_cloud", Request { authors: cloud, ..ask(8, HONEST) }),
        ("nobody wrote the text", "text_by_cloud", Request { authors: BTreeSet::new(), ..ask(9, HONEST) }),
        ("the draft was looked at too long ago", "stale", Request { asked: old, ..ask(10, HONEST) }),
        ("a note that does not wait for approval", "not_waiting", Request { path: elsewhere, ..ask(11, HONEST) }),
        ("the standing approval has ended", "expired", under(Id::Ended, 12)),
        ("the standing approval is of an older roster", "old_epoch", under(Id::OldRoster, 13)),
        ("the standing approval is for another executor", "other_executor", under(Id::OtherExecutor, 14)),
        ("the standing approval was removed", "standing_ended", under(Id::Removed, 15)),
        ("Cloud signed the standing approval", "no_standing", under(Id::SignedByCloud, 16)),
        ("the approver of another mesh signed the standing approval", "no_standing", under(Id::SignedElsewhere, 17)),
        ("the standing approval lies under another id than its own", "no_standing", under(Id::Renamed, 18)),
        ("there is no such standing approval", "no_standing", under(Id::Unknown, 19)),
    ]
}

/// What was sent once, asked for again: as it was, and with another text.
fn repetitions(mesh: &Mesh, sent: &Request) -> Vec<Case> {
    let changed = mesh.request(Id::Good, 20, HONEST).note;
    vec![
        ("a request is handed in again", "replayed", sent.clone()),
        ("the draft is changed and sent again", "work_already_answered", Request { note: changed, ..sent.clone() }),
    ]
}

/// Standing approvals that nobody may sign, and every bit of one that was.
fn signed(mesh: &Mesh, good: &Standing) -> Vec<Tried> {
    let roster = mesh.rosters.current();
    let verify = |bytes: &[u8]| roster.by_approver(|key| Standing::verify(key, roster.mesh, bytes));
    let of = |standing: Standing| verify(&standing.sign(&mesh.approve, roster.mesh));
    let signed = good.sign(&mesh.approve, roster.mesh);
    let count = signed.len() * 8;
    let taken = (0..count).filter(|bit| {
        let mut bytes = signed.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        verify(&bytes).is_ok()
    });
    vec![
        Tried::all_refused("each bit of a standing approval is flipped", taken.count(), count),
        Tried::refused(
            "a standing approval for everybody of a domain",
            of(Standing { recipients: BTreeSet::from(["@client.test".to_owned()]), ..good.clone() }),
        ),
        Tried::refused(
            "a standing approval without end",
            of(Standing { until: good.issued + 400 * DAY, ..good.clone() }),
        ),
        Tried::refused("a standing approval for any number of mails", of(Standing { count: u64::MAX, ..good.clone() })),
    ]
}
