//! Attacks over a session, with Cloud's real key: what Local's core takes of it.

use aiemp_protocol::{
    entry::{Entry, FieldWrite, FileKind, Item, SignedEntry},
    frame::Frame,
    ids::{Audience, ContentHash, FileId, LogId},
    vault_path::VaultPath,
    zone::Zone,
};
use anyhow::Result;

use super::{Tried, local::Local, mesh::Mesh};
use crate::shell::clock;

const CONTENT: &[u8] = b"written by the attacker\n";

pub(super) fn attacks() -> Result<Vec<Tried>> {
    let mesh = Mesh::found()?;
    let honest = Attack { zone: Zone::Drafts, path: "Plans/plan.md", ..Attack::default() };
    anyhow::ensure!(honest.is_taken(&mesh)?, "an honest entry is not taken");
    let [drafts, owner, private] = [Zone::Drafts, Zone::Owner, Zone::Private];
    let claim = Zone::Claim(mesh.local.node_id());
    let attack = |zone, path| Attack { zone, path, ..Attack::default() };
    let cases = [
        ("Cloud writes into Approved/", attack(owner, "Approved/a.md")),
        ("Cloud writes into Done/", attack(owner, "Done/a.md")),
        ("Cloud writes the handbook", attack(owner, "Company_Handbook.md")),
        ("Cloud writes a private note", attack(private, "Accounting/a.md")),
        ("Cloud writes Local's claim", attack(claim, "In_Progress/local/a.md")),
        ("Cloud calls an owner's path a draft", attack(drafts, "Approved/a.md")),
        ("Cloud calls a private path a draft", attack(drafts, "Private/a.md")),
        ("Cloud plants instructions for agents", attack(drafts, "Plans/CLAUDE.md")),
        ("Cloud plants credentials", attack(drafts, "Plans/.env")),
        ("Cloud writes into the log for Locals", Attack { audience: Audience::Local, ..attack(drafts, "Plans/a.md") }),
        ("Cloud writes in Local's name", Attack { in_locals_name: true, ..attack(drafts, "Plans/a.md") }),
        (
            "Cloud moves its note into Approved/",
            Attack { moves_to: Some("Approved/a.md"), ..attack(drafts, "Plans/a.md") },
        ),
        ("Cloud leaves a gap in its log", Attack { seq: 7, ..attack(drafts, "Plans/a.md") }),
        ("Cloud names an epoch to come", Attack { epoch: Some(99), ..attack(drafts, "Plans/a.md") }),
        ("Cloud sends other bytes than it signs", Attack { payload: b"others", ..attack(drafts, "Plans/a.md") }),
    ];
    let mut tried = Vec::new();
    for (name, attack) in cases {
        let came_of_it = if attack.is_taken(&mesh)? { Ok(()) } else { Err("nothing of it is shown") };
        tried.push(Tried::refused(name, came_of_it));
    }
    Ok(tried)
}

/// One entry that Cloud signs and sends.
struct Attack {
    zone: Zone,
    path: &'static str,
    audience: Audience,
    in_locals_name: bool,
    moves_to: Option<&'static str>,
    seq: u64,
    epoch: Option<u64>,
    payload: &'static [u8],
}

impl Default for Attack {
    fn default() -> Self {
        Self {
            zone: Zone::Drafts,
            path: "",
            audience: Audience::All,
            in_locals_name: false,
            moves_to: None,
            seq: 1,
            epoch: None,
            payload: CONTENT,
        }
    }
}

impl Attack {
    /// Whether a fresh Local shows anything at the path, or where it was moved.
    fn is_taken(&self, mesh: &Mesh) -> Result<bool> {
        let mut local = Local::start(mesh, CONTENT)?;
        local.receive(mesh, self.frame(mesh)?);
        let wanted = self.moves_to.unwrap_or(self.path);
        Ok(local.shown(wanted) == Some(self.payload))
    }

    fn frame(&self, mesh: &Mesh) -> Result<Frame> {
        let log = LogId { author: mesh.cloud.node_id(), generation: 0, audience: self.audience };
        let file = FileId::fresh(self.zone, log, self.seq, 0);
        let base = ContentHash::of(CONTENT);
        let path = VaultPath::parse(self.path)?;
        let mut items = vec![Item::New { file, path, kind: FileKind::Note, base, length: CONTENT.len() as u64 }];
        if let Some(to) = self.moves_to {
            items.push(Item::Set { file, write: FieldWrite::Path(VaultPath::parse(to)?) });
        }
        let epoch = self.epoch.unwrap_or_else(|| mesh.rosters.current().epoch);
        let entry = Entry { seq: self.seq, epoch, hlc: clock::now(), seen: Vec::new(), items };
        let signed = SignedEntry::sign(&mesh.cloud, mesh.rosters.current().mesh, log, None, entry);
        // Cloud cannot sign for Local; it can only say that Local did.
        let author = if self.in_locals_name { mesh.local.node_id() } else { log.author };
        Ok(Frame::Entry {
            log: LogId { author, ..log },
            cose: signed.cose,
            payloads: vec![Some(self.payload.to_vec())],
        })
    }
}
