use std::{
    cell::RefCell,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use aiemp_keys::{
    Hash, NodeId, Signer,
    private_file::{create_private_dir, write_private},
};
use aiemp_protocol::{
    action::{self, Action, Content, Email, Http, Marks, Payment, Post, RENDERER_VERSION, action_id},
    approval::{
        Bundle, Decision, Outcome, Policy, Receipt, SignedHands, Verified,
        journal::{Row, State, Times},
    },
    freeze::{Brake, FreezeRecord},
    ids::{FileId, WorkId},
    limits::APPROVAL_LIFETIME,
    roster::{Member, Quota, Role, Roster, RosterChain, SignedRoster},
    time::Timestamp,
    vault_path::VaultPath,
    zone::Zone,
};
use data_encoding::HEXLOWER;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

use super::super::{JournalStore, dispatch::Hands, now, run_until};
use crate::{
    config::Config,
    home::Home,
    shell::{declared, freezes},
};

/// The draft that the approvals are about.
pub(super) const NOTE: &[u8] = b"the note";

pub(super) fn path() -> VaultPath {
    VaultPath::parse("Pending_Approval/mail.md").unwrap()
}

pub(super) fn marks() -> Marks {
    Marks::of_note(&path(), NOTE)
}

/// A home whose mesh has one node, and the keys of its owner.
pub(super) struct World {
    _directory: tempfile::TempDir,
    pub(super) home: Home,
    pub(super) root: Signer,
    pub(super) approve: Signer,
    node: Signer,
    pub(super) receipts: Signer,
    chain: RefCell<RosterChain>,
}

impl World {
    pub(super) fn new(settings: &str) -> Self {
        Self::founded(settings, false)
    }

    pub(super) fn unattended(settings: &str) -> Self {
        Self::founded(settings, true)
    }

    /// On a file system in memory where there is one: thousands of runs need not wait for a disk.
    pub(super) fn in_memory(settings: &str) -> Self {
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self::founded_in(directory.unwrap(), settings, false)
    }

    /// In a directory that was made ready for it.
    pub(super) fn on(directory: tempfile::TempDir, settings: &str) -> Self {
        Self::founded_in(directory, settings, false)
    }

    fn founded(settings: &str, unattended: bool) -> Self {
        Self::founded_in(tempfile::tempdir().unwrap(), settings, unattended)
    }

    fn founded_in(directory: tempfile::TempDir, settings: &str, unattended: bool) -> Self {
        let home = Home::at(directory.path().join("home"));
        let [root, approve, node, receipts] = [1, 2, 3, 4].map(|seed| Signer::from_seed([seed; 32]));
        let first = Member {
            node: node.node_id(),
            name: "local".to_owned(),
            role: Role::Local,
            generation_min: 0,
            quota: Quota::default(),
        };
        let next = Hash::of_content(b"the next root key");
        let roster = Roster::found(&root, next, approve.public(), first, unattended, now());
        let chain = RosterChain::begin(&SignedRoster::sign(&root, roster).to_bytes()).unwrap();
        for path in [
            home.path().to_owned(),
            home.mesh(),
            home.roster_folder(),
            home.executor(),
            home.approved(),
            home.freezes(),
        ] {
            create_private_dir(&path).unwrap();
        }
        let seed = HEXLOWER.encode(receipts.seed().expose());
        write_private(&home.receipt_signer(), format!("{seed}\n").as_bytes()).unwrap();
        write_private(&home.config(), format!("vault = \"/vault\"\n{settings}").as_bytes()).unwrap();
        let chain = RefCell::new(chain);
        let world = Self { _directory: directory, home, root, approve, node, receipts, chain };
        world.pin(&world.root.public().to_string());
        world.write_roster(&world.chain.borrow().to_bytes());
        world
    }

    pub(super) fn me(&self) -> NodeId {
        self.node.node_id()
    }

    pub(super) fn pin(&self, key: &str) {
        write_private(&self.home.pinned_root(), format!("{key}\n").as_bytes()).unwrap();
    }

    pub(super) fn write_roster(&self, bytes: &[u8]) {
        write_private(&self.home.rosters(), bytes).unwrap();
    }

    pub(super) fn add_epoch(&self) {
        let next = self.roster().successor(now());
        self.chain.borrow_mut().extend(&SignedRoster::sign(&self.root, next).to_bytes()).unwrap();
        self.write_roster(&self.chain.borrow().to_bytes());
    }

    pub(super) fn add_member(&self, member: Member) {
        let mut next = self.roster().successor(now());
        next.members.push(member);
        self.chain.borrow_mut().extend(&SignedRoster::sign(&self.root, next).to_bytes()).unwrap();
        self.write_roster(&self.chain.borrow().to_bytes());
    }

    pub(super) fn roster(&self) -> Roster {
        self.chain.borrow().current().clone()
    }

    pub(super) fn config(&self) -> Config {
        Config::parse(&fs::read_to_string(self.home.config()).unwrap()).unwrap()
    }

    pub(super) fn decision(&self, action: &Action, nonce: [u8; 16]) -> Decision {
        Decision {
            action: action.hash(),
            render: action::render(action, &marks()).hash(),
            renderer: RENDERER_VERSION,
            nonce,
            expiry: now() + APPROVAL_LIFETIME,
            executor: self.node.node_id(),
            policy: Policy::default().digest(),
            epoch: 1,
            repeat_of: None,
        }
    }

    pub(super) fn bundle(&self, action: &Action, decision: &Decision) -> Bundle {
        Bundle {
            approval: decision.sign(&self.approve, self.roster().mesh),
            action: action.to_bytes(),
            marks: marks(),
            file: file(),
            path: path(),
            note: NOTE.to_vec(),
            attachments: Vec::new(),
        }
    }

    pub(super) fn hand_in(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.home.approved().join(name);
        write_private(&path, bytes).unwrap();
        path
    }

    pub(super) fn approve(&self, action: &Action, nonce: [u8; 16]) -> PathBuf {
        let bundle = self.bundle(action, &self.decision(action, nonce));
        self.hand_in(&format!("{}.approval", HEXLOWER.encode(&nonce)), &bundle.to_bytes())
    }

    pub(super) fn sign_policy(&self, policy: &Policy) -> Vec<u8> {
        policy.sign(&self.approve, self.roster().mesh)
    }

    pub(super) fn sign_hands(&self, issued: u64, text: &str) -> Vec<u8> {
        let hands = SignedHands { issued: Timestamp::from_millis(issued), text: text.to_owned() };
        hands.sign(&self.approve, self.roster().mesh)
    }

    /// Hands as an earlier run of the executor took them in.
    pub(super) fn declare(&self, text: &str) {
        write_private(&self.home.executor_hands(), &self.sign_hands(1, text)).unwrap();
    }

    /// A freeze by this node, signed.
    pub(super) fn freeze(&self) -> Vec<u8> {
        self.frozen().sign(&self.node, self.roster().mesh)
    }

    /// A lift of that freeze by some key.
    pub(super) fn lift(&self, key: &Signer) -> Vec<u8> {
        FreezeRecord { brake: Brake::Lifted, ..self.frozen() }.sign(key, self.roster().mesh)
    }

    fn frozen(&self) -> FreezeRecord {
        let at = Timestamp::from_millis(1_767_781_800_000);
        FreezeRecord { brake: Brake::Frozen, node: self.node.node_id(), at }
    }

    /// A record as the mesh leaves it.
    pub(super) fn freeze_by_mesh(&self, bytes: &[u8]) {
        freezes::keep(&self.home.freezes(), self.frozen(), bytes).unwrap();
    }

    /// As an earlier run left it that went by the same hands.
    pub(super) fn row(&self, action: &Action, nonce: [u8; 16], state: State) -> Row {
        let decision = self.decision(action, nonce);
        let bundle = self.bundle(action, &decision);
        let verified = Verified { decision, action: action.clone(), bundle, standing: None };
        let asked = self.asked(action);
        Row { verified, state, detail: String::new(), attempts: 0, not_before: now(), changed: now(), asked }
    }

    /// What the action's hand is now.
    pub(super) fn asked(&self, action: &Action) -> Option<Hash> {
        let (_, declared) = declared::load(&self.home.executor_hands(), &self.roster()).unwrap();
        Hands::of(&self.home, self.config(), declared, None).digests().remove(action.hand())
    }

    /// A journal as an earlier run left it.
    pub(super) fn store(&self, row: &Row) {
        JournalStore::of(&self.home).unwrap().persist(row, Times::at(now())).unwrap();
    }

    pub(super) fn start(&self) -> Running {
        let (stop, stopped) = oneshot::channel();
        let (home, me) = (self.home.clone(), self.node.node_id());
        let task = tokio::spawn(async move { run_until(&home, me, async { drop(stopped.await) }).await });
        Running { stop, task }
    }

    pub(super) async fn run_to_end(&self) -> anyhow::Result<()> {
        run_until(&self.home, self.node.node_id(), async {}).await
    }

    /// Names and texts of the mails in the outbox.
    pub(super) fn mails(&self) -> Vec<(PathBuf, String)> {
        let Ok(entries) = fs::read_dir(self.home.outbox().join("new")) else { return Vec::new() };
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
    }

    /// Marks of deliveries whose end is not durable.
    pub(super) fn marks(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.home.executor().join("under-way")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    pub(super) fn receipt_path(&self, action: &Action, nonce: [u8; 16], outcome: Outcome) -> PathBuf {
        let name = format!("{}-{}-{}.receipt", action.hash(), HEXLOWER.encode(&nonce), outcome.as_str());
        self.home.receipts().join(name)
    }

    pub(super) fn receipt(&self, action: &Action, nonce: [u8; 16], outcome: Outcome) -> Option<Receipt> {
        let bytes = fs::read(self.receipt_path(action, nonce, outcome)).ok()?;
        let receipt = Receipt::verify(&self.receipts.public(), self.roster().mesh, &bytes).expect("signed");
        assert_eq!((receipt.action, receipt.nonce, receipt.outcome), (action.hash(), nonce, outcome));
        Some(receipt)
    }

    pub(super) fn audit(&self) -> String {
        let files = fs::read_dir(self.home.audit().join("executor")).into_iter().flatten().flatten();
        let months = files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|kind| kind == "jsonl"));
        months.map(|path| fs::read_to_string(path).unwrap()).collect()
    }

    /// The code with which a file was refused.
    pub(super) fn refused(&self, name: &str) -> Option<String> {
        let log = self.audit();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let mut lines = lines.filter(|line| line["target"] == name);
        lines.next_back()?["result"]
            .as_str()
            .map(str::to_owned)
            .filter(|_| self.home.executor().join("refused").join(name).exists())
    }

    pub(super) fn refused_file(&self, path: &Path) -> Option<String> {
        self.refused(path.file_name()?.to_str()?)
    }
}

pub(super) struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        self.stop.send(()).ok();
        self.task.await.unwrap()
    }

    pub(super) fn is_over(&self) -> bool {
        self.task.is_finished()
    }

    pub(super) async fn ended(self) -> anyhow::Result<()> {
        tokio::time::timeout(Duration::from_secs(30), self.task).await.expect("it ends by itself").unwrap()
    }
}

/// Waits for another task to bring something about.
pub(super) async fn until(mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("it comes about");
}

pub(super) fn file() -> FileId {
    FileId { zone: Zone::Drafts, hash: Hash::of_content(b"file") }
}

/// A mail by some hand; another number is another piece of work.
pub(super) fn email(hand: &str, number: u8) -> Action {
    let email = Email {
        hand: hand.to_owned(),
        from: "Me <me@mine.test>".to_owned(),
        to: vec!["Anna <anna@client.test>".to_owned()],
        cc: Vec::new(),
        bcc: Vec::new(),
        subject: format!("the subject {number}"),
        body: "the body\n".to_owned(),
        in_reply_to: None,
        references: Vec::new(),
        attachments: Vec::new(),
    };
    Action { file: action_id(file()), work: WorkId(Hash::of_content(&[number])), content: Content::Email(email) }
}

/// Another number is another piece of work.
pub(super) fn action(number: u8, content: Content) -> Action {
    Action { file: action_id(file()), work: WorkId(Hash::of_content(&[number])), content }
}

pub(super) fn post(number: u8) -> Action {
    let (hand, network) = ("social".to_owned(), "x".to_owned());
    action(number, Content::Post(Post { hand, network, text: format!("the text {number}\n"), attachments: Vec::new() }))
}

pub(super) fn payment(number: u8) -> Action {
    action(
        number,
        Content::Payment(Payment {
            hand: "bank".to_owned(),
            payee: "Client A".to_owned(),
            account: "DE02120300000000202051".to_owned(),
            amount_minor: 100 + u64::from(number),
            currency: "EUR".to_owned(),
            reference: "the reference".to_owned(),
        }),
    )
}

pub(super) fn call(connector: &str, number: u8) -> Action {
    let params = vec![("text".to_owned(), format!("the text {number}"))];
    action(number, Content::Http(Http { connector: connector.to_owned(), params }))
}

/// Hangs up on its first caller, serves the second.
pub(super) struct SmtpServer {
    pub(super) port: u16,
    task: JoinHandle<Vec<String>>,
}

impl SmtpServer {
    pub(super) async fn that_fails_first() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            drop(listener.accept().await.unwrap());
            let (stream, _) = listener.accept().await.unwrap();
            vec![serve(stream).await]
        });
        Self { port, task }
    }

    /// The messages that it took.
    pub(super) async fn end(self) -> Vec<String> {
        self.task.await.unwrap()
    }
}

async fn serve(stream: TcpStream) -> String {
    let mut stream = BufReader::new(stream);
    let mut message = String::new();
    stream.write_all(b"220 ready\r\n").await.unwrap();
    let mut line = String::new();
    while stream.read_line(&mut line).await.unwrap_or(0) > 0 {
        let reply = match line.split_whitespace().next().unwrap_or_default() {
            "EHLO" => "250-mine.test\r\n250 8BITMIME",
            "DATA" => "354 go",
            "QUIT" => "221 bye",
            _ => "250 ok",
        };
        stream.write_all(format!("{reply}\r\n").as_bytes()).await.unwrap();
        if reply == "354 go" {
            while !message.ends_with("\r\n.\r\n") {
                assert!(stream.read_line(&mut message).await.unwrap() > 0, "{message}");
            }
            stream.write_all(b"250 queued\r\n").await.unwrap();
        }
        line.clear();
    }
    message
}
