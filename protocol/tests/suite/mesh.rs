//! A small mesh to tell scenarios about.

use aiemp_keys::{Hash, NodeId, Signer, next_root_hash};
use aiemp_protocol::{
    action::{self, Action, Attachment, AttachmentSource, Content, Email, Marks, RENDERER_VERSION},
    approval::{Bundle, Decision, Policy, Standing, StandingId},
    ids::{ContentHash, FileId, LogId, WorkId},
    limits::APPROVAL_LIFETIME,
    roster::{Member, Quota, Role, Roster, RosterChain, SignedRoster},
    time::Timestamp,
    vault_path::VaultPath,
    zone::Zone,
};

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_767_781_800_000);

pub(crate) struct Owner {
    pub(crate) root: Signer,
    pub(crate) approve: Signer,
    pub(crate) node: Signer,
    pub(crate) rosters: RosterChain,
}

/// A founded mesh with one Local node; the seeds follow from `byte`.
pub(crate) fn owner(byte: u8) -> Owner {
    let (root, approve, node) =
        (Signer::from_seed([byte; 32]), Signer::from_seed([byte + 1; 32]), Signer::from_seed([byte + 2; 32]));
    let first = Member {
        node: node.node_id(),
        name: "local".to_owned(),
        role: Role::Local,
        generation_min: 0,
        quota: Quota::default(),
    };
    let next = next_root_hash(&Signer::from_seed([byte + 3; 32]).public());
    let roster = Roster::found(&root, next, approve.public(), first, false, NOW);
    let rosters = RosterChain::begin(&SignedRoster::sign(&root, roster).to_bytes()).expect("founds a mesh");
    Owner { root, approve, node, rosters }
}

impl Owner {
    pub(crate) fn executor(&self) -> NodeId {
        self.node.node_id()
    }

    /// The same members, one epoch later.
    pub(crate) fn next_epoch(&mut self) {
        let next = self.rosters.current().successor(NOW);
        self.rosters.extend(&SignedRoster::sign(&self.root, next).to_bytes()).expect("follows");
    }

    /// An approval of a mail to `to` for the piece of work `work`.
    pub(crate) fn approval(&self, to: &str, work: u8, nonce: u8, repeat_of: Option<[u8; 16]>) -> Bundle {
        let log = LogId { author: self.executor(), generation: 0, audience: aiemp_protocol::ids::Audience::All };
        let file = FileId::fresh(Zone::Drafts, log, u64::from(work), 0);
        let action = mail(file, to, work);
        let marks = Marks { first_time: action.marked_values(), ..Marks::default() };
        self.sign(file, &action, marks, nonce, repeat_of)
    }

    /// An approval of a mail with one attachment, shown as a copy of the file at `path`.
    pub(crate) fn approval_with(&self, attachment: (&str, &[u8]), path: &str) -> Bundle {
        let log = LogId { author: self.executor(), generation: 0, audience: aiemp_protocol::ids::Audience::All };
        let file = FileId::fresh(Zone::Drafts, log, 1, 0);
        let mut action = mail(file, "a@client.test", 1);
        let (name, bytes) = attachment;
        let Content::Email(email) = &mut action.content else { panic!("a mail") };
        email.attachments.push(Attachment {
            name: name.to_owned(),
            media_type: "application/pdf".to_owned(),
            length: bytes.len() as u64,
            hash: ContentHash::of(bytes),
        });
        let path = VaultPath::parse(path).expect("a path");
        let attachment_sources = vec![AttachmentSource { path, is_private: true }];
        let bundle = self.sign(file, &action, Marks { attachment_sources, ..Marks::default() }, 1, None);
        Bundle { attachments: vec![bytes.to_vec()], ..bundle }
    }

    /// An approval of a mail to `to`, made now under a policy.
    pub(crate) fn approval_under(&self, policy: &Policy, to: &str, work: u8, nonce: u8) -> Bundle {
        let bundle = self.approval(to, work, nonce, None);
        let approver = self.approve.public();
        let mesh = self.rosters.current().mesh;
        let decision = Decision::verify(&approver, mesh, &bundle.approval).expect("its own");
        let decision = Decision { policy: policy.digest(), expiry: NOW + APPROVAL_LIFETIME, ..decision };
        Bundle { approval: decision.sign(&self.approve, mesh), ..bundle }
    }

    /// A standing approval for mails to these, with its signed form.
    pub(crate) fn standing(&self, recipients: &[&str], count: u64) -> (Standing, Vec<u8>) {
        let standing = Standing {
            id: StandingId([9; 16]),
            hand: "outbox".to_owned(),
            sender: "me@example.test".to_owned(),
            recipients: recipients.iter().map(|to| (*to).to_owned()).collect(),
            count,
            issued: NOW,
            until: NOW + std::time::Duration::from_secs(7 * 86_400),
            text_by_cloud: false,
            executor: self.executor(),
            epoch: self.rosters.current().epoch,
        };
        let signed = standing.sign(&self.approve, self.rosters.current().mesh);
        (standing, signed)
    }

    fn sign(&self, file: FileId, action: &Action, marks: Marks, nonce: u8, repeat_of: Option<[u8; 16]>) -> Bundle {
        let path = VaultPath::parse("Pending_Approval/email/REPLY_1.md").expect("a path");
        let note = b"---\naction: email\n---\n".to_vec();
        let marks = Marks { note: Marks::of_note(&path, &note).note, ..marks };
        let decision = Decision {
            action: action.hash(),
            render: action::render(action, &marks).hash(),
            renderer: RENDERER_VERSION,
            nonce: [nonce; 16],
            expiry: NOW + std::time::Duration::from_secs(60),
            executor: self.executor(),
            policy: Policy::default().digest(),
            epoch: self.rosters.current().epoch,
            repeat_of,
        };
        Bundle {
            approval: decision.sign(&self.approve, self.rosters.current().mesh),
            action: action.to_bytes(),
            marks,
            file,
            path,
            note,
            attachments: Vec::new(),
        }
    }
}

fn mail(file: FileId, to: &str, work: u8) -> Action {
    let content = Content::Email(Email {
        hand: "outbox".to_owned(),
        from: "me@example.test".to_owned(),
        to: vec![to.to_owned()],
        cc: Vec::new(),
        bcc: Vec::new(),
        subject: "Hello".to_owned(),
        body: "Body\n".to_owned(),
        in_reply_to: None,
        references: Vec::new(),
        attachments: Vec::new(),
    });
    Action { file: action::action_id(file), work: WorkId(Hash::of_content(&[work])), content }
}
