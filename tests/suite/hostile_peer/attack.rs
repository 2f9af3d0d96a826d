//! One pair of nodes under attack: Cloud's process is stopped, its key speaks; at the end Cloud runs again.

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};

use aiemp_keys::{Hash, Keystore, NodeId, Signer};
use aiemp_protocol::{
    frame::Frame,
    ids::{Audience, ContentHash, EntryHash, LogId, MeshId},
};
use serde_json::Value;

use super::{
    Case, Expect,
    forge::{self, Draft, Item, MARK, Signed},
    peer::{Heard, Peer},
};
use crate::node::{Node, PATIENCE, Pair, free_port, status_field};

/// Generations above the lowest one that Local takes logs of.
const GENERATIONS_AHEAD_MAX: u64 = 16;
const RSS_GROWTH_MAX_KIB: u64 = 64 << 10;
/// From a save at one node to the note at the other.
const SYNC_MAX: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(10);
/// What Local's owner has, and Cloud may not write.
const OWNERS: [(&str, &str); 4] = [
    ("Company_Handbook.md", "Be kind.\n"),
    ("Business_Goals.md", "Earn a living.\n"),
    ("Done/old.md", "It was sent.\n"),
    ("Private/pin.md", PRIVATE_NOTE),
];
/// Short enough to be guessed.
pub(super) const PRIVATE_NOTE: &str = "0417\n";
/// Where Cloud may write.
const CLOUDS: [&str; 8] =
    ["Inbox", "Needs_Action", "Plans", "Pending_Approval", "Updates", "Signals", "Logs", "In_Progress/cloud"];

pub(super) struct Attack {
    pub(super) pair: Pair,
    pub(super) peer: Peer,
    pub(super) mesh: MeshId,
    pub(super) me: NodeId,
    pub(super) local: NodeId,
    pub(super) epoch: u64,
    /// The log that the next entry goes to.
    pub(super) generation: u64,
    /// The lowest generation that Local takes.
    floor: u64,
    /// The last entry of each log.
    heads: BTreeMap<LogId, (u64, EntryHash)>,
    /// What is answered to a fetch.
    pub(super) held: BTreeMap<(LogId, u64), Signed>,
    /// What is answered to a wish for a payload.
    pub(super) payloads: BTreeMap<ContentHash, Vec<u8>>,
    /// Everything heard since the case began.
    pub(super) heard: Vec<Frame>,
    /// Wishes for these payloads are left to the case.
    pub(super) kept_back: Vec<ContentHash>,
    questions: u64,
    count: usize,
    rss_before: u64,
}

impl Attack {
    /// A pair that has met, with Cloud's process stopped; `settings` are Local's.
    pub(super) fn start(settings: &str) -> Self {
        let mut pair = Pair::strangers();
        let port = free_port();
        pair.local.configure(&format!("listen = [\"/ip4/127.0.0.1/tcp/{port}\"]\n{settings}"));
        let signer = |node: &Node| Keystore::at(&node.home).node().expect("a node has a key");
        let local = signer(&pair.local).node_id();
        // The lower identity opens the session.
        while signer(&pair.cloud).node_id() > local {
            let other = Signer::generate().expect("a key");
            let seed = data_encoding::HEXLOWER.encode(other.seed().expose());
            fs::write(pair.cloud.home.join("keys/node.key"), seed).expect("Cloud's key is another one");
        }
        for (path, note) in OWNERS {
            pair.local.save(path, note);
        }
        pair.pair(&[]);
        pair.local.start();
        pair.cloud.save("Plans/first.md", "a plan\n");
        pair.wait_same("they have met", |files| files.contains_key("Plans/first.md"));
        pair.cloud.stop();
        let signer = signer(&pair.cloud);
        let status = pair.local.json(&["status", "--json"]);
        let mesh = MeshId(status["mesh"].as_str().and_then(|text| text.parse::<Hash>().ok()).expect("a mesh"));
        let me = signer.node_id();
        let mut attack = Self {
            peer: Peer::new(signer, local, port),
            pair,
            mesh,
            me,
            local,
            epoch: 2,
            generation: 0,
            floor: 0,
            heads: BTreeMap::new(),
            held: BTreeMap::new(),
            payloads: BTreeMap::new(),
            heard: Vec::new(),
            kept_back: Vec::new(),
            questions: 0,
            count: 0,
            rss_before: 0,
        };
        attack.ready();
        for log in [forge::log(local, 0), forge::log(me, 0)] {
            attack.peer.send(&Frame::Fetch { log, from_seq: 1, count: 64 });
        }
        attack.settle();
        assert!(attack.heads.contains_key(&attack.locals()), "Local hands out its log: {:?}", attack.heard);
        attack.rss_before = attack.rss();
        attack
    }

    /// Local's log for all.
    pub(super) fn locals(&self) -> LogId {
        forge::log(self.local, 0)
    }

    pub(super) fn own(&self) -> LogId {
        forge::log(self.me, self.generation)
    }

    pub(super) fn head(&self, log: LogId) -> Option<(u64, EntryHash)> {
        self.heads.get(&log).copied()
    }

    /// A log without entries. Where there is none left, Local's owner heals Cloud first.
    pub(super) fn new_log(&mut self) {
        if self.generation == self.floor + GENERATIONS_AHEAD_MAX {
            self.heal();
        } else {
            self.generation += 1;
        }
        assert!(self.head(self.own()).is_none());
    }

    /// What the next entry of the log would say if it were honest.
    pub(super) fn draft(&self, items: Vec<Item>) -> Draft {
        let seq = self.head(self.own()).map_or(0, |(seq, _)| seq) + 1;
        let time = 1_770_000_000_000 + seq;
        Draft { version: 1, seq, epoch: self.epoch, time, seen: Vec::new(), items, more: Vec::new() }
    }

    pub(super) fn sign(&self, draft: &Draft) -> Signed {
        let (log, prev) = (self.own(), self.head(self.own()).map(|(_, hash)| hash));
        let payload = draft.to_bytes();
        let with_payload = draft.items.iter().filter(|item| item.payload.is_some());
        Signed {
            log,
            hash: forge::hash(self.mesh, log, prev, &payload),
            cose: forge::sign(&self.peer.signer, self.mesh, log, prev, &payload),
            payloads: with_payload.map(|item| item.payload.clone()).collect(),
        }
    }

    pub(super) fn send(&mut self, signed: &Signed) {
        let Signed { log, cose, payloads, .. } = signed.clone();
        self.peer.send(&Frame::Entry { log, cose, payloads });
    }

    /// Signs and sends what is not honest, and does not count it as said.
    pub(super) fn send_draft(&mut self, draft: &Draft) {
        let signed = self.sign(draft);
        self.send(&signed);
    }

    /// Sends the next entry of the log and goes on after it.
    pub(super) fn append(&mut self, items: Vec<Item>) -> Signed {
        let signed = self.keep(&self.draft(items));
        self.send(&signed);
        signed
    }

    /// Signs an entry and goes on after it, without sending it.
    pub(super) fn keep(&mut self, draft: &Draft) -> Signed {
        let signed = self.sign(draft);
        self.heads.insert(signed.log, (draft.seq, signed.hash));
        self.held.insert((signed.log, draft.seq), signed.clone());
        signed
    }

    /// A session with its greetings said.
    pub(super) fn ready(&mut self) {
        if self.peer.has_session() {
            return;
        }
        assert!(self.peer.open_session(), "Local opens no session: {}", self.pair.local.last_words());
        let (roster, frontier) = (forge::digest("roster"), forge::digest("frontier"));
        self.peer.send(&Frame::Hello { epoch: self.epoch, roster, frontier, has_brain: false });
        self.peer.send(&Frame::Frontier { positions: Vec::new() });
        self.settle();
    }

    /// Answers what Local asks, as an honest node would.
    fn answer(&mut self, frame: Frame) {
        match &frame {
            Frame::PayloadWanted { hash, offset, .. } if !self.kept_back.contains(hash) => {
                let whole = self.payloads.get(hash).cloned().unwrap_or_default();
                let from = usize::try_from(*offset).expect("short").min(whole.len());
                let (length, bytes) = (whole.len() as u64, whole[from..].to_vec());
                self.peer.send(&Frame::PayloadPart { hash: *hash, offset: *offset, length, bytes });
            }
            Frame::Fetch { log, from_seq, count } => {
                let from = (*log, *from_seq);
                let to = (*log, from_seq.saturating_add(*count));
                let wanted: Vec<_> = self.held.range(from..to).map(|(_, signed)| signed.clone()).collect();
                for signed in wanted {
                    self.send(&signed);
                }
            }
            Frame::Entry { log, cose, payloads } => self.learn(*log, cose, payloads),
            Frame::Hello { epoch, .. } => self.epoch = *epoch,
            Frame::PayloadWanted { .. }
            | Frame::Frontier { .. }
            | Frame::PayloadPart { .. }
            | Frame::Roster { .. }
            | Frame::Freeze { .. } => {}
        }
        self.heard.push(frame);
    }

    /// Takes an entry from Local that follows what is held.
    fn learn(&mut self, log: LogId, cose: &[u8], payloads: &[Option<Vec<u8>>]) {
        assert_eq!(log.audience, Audience::All, "Local sends an entry of a private log");
        let (seq, prev) = self.head(log).map_or((0, None), |(seq, hash)| (seq, Some(hash)));
        let payload = aiemp_keys::cose::payload_unverified(cose).expect("Local sends entries in form");
        if aiemp_protocol::entry::SignedEntry::claimed_seq(cose) == Ok(seq + 1) {
            let hash = forge::hash(self.mesh, log, prev, &payload);
            let signed = Signed { log, hash, cose: cose.to_vec(), payloads: payloads.to_vec() };
            self.heads.insert(log, (seq + 1, hash));
            self.held.insert((log, seq + 1), signed);
        }
    }

    /// Hears and answers until it is true or the session is closed; says whether it is true.
    pub(super) fn pump(&mut self, patience: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let until = Instant::now() + patience;
        loop {
            if done(self) {
                return true;
            }
            match self.peer.hear(TICK) {
                Heard::Frame(frame) => self.answer(frame),
                Heard::Nothing if Instant::now() < until => {}
                Heard::Closed if Instant::now() < until => std::thread::sleep(TICK),
                Heard::Nothing | Heard::Closed => return done(self),
            }
        }
    }

    /// Until Local answered a question that was asked after everything else; whether it did before it closed.
    pub(super) fn settle(&mut self) -> bool {
        for _ in 0..2 {
            self.questions += 1;
            let hash = ContentHash::of(&self.questions.to_be_bytes());
            self.peer.send(&Frame::PayloadWanted { hash, offset: 0, shared: false });
            let answered = |attack: &Self| {
                let about = |frame: &Frame| matches!(frame, Frame::PayloadPart { hash: of, .. } if *of == hash);
                attack.heard.iter().any(about)
            };
            if !self.pump(PATIENCE, |attack| answered(attack) || !attack.peer.has_session()) || !answered(self) {
                return false;
            }
        }
        true
    }

    pub(super) fn run(&mut self, group: &str, cases: &[Case]) -> &mut Self {
        for case in cases {
            self.ready();
            self.heard.clear();
            tell(&format!("{group}: {}", case.name));
            let before = self.pair.local.log().len();
            (case.send)(self);
            if let Err(why) = self.check(case.expect, before) {
                let said = self.pair.local.log()[before..].to_owned();
                panic!("{group}: {}: expected {:?}: {why}\n{said}\nheard {:?}", case.name, case.expect, self.heard);
            }
            assert!(self.pair.local.is_running(), "{group}: {}: {}", case.name, self.pair.local.last_words());
            self.count += 1;
        }
        tell(&format!("{group}: {} cases", cases.len()));
        self
    }

    fn check(&mut self, expect: Expect, before: usize) -> Result<(), &'static str> {
        let says = |attack: &Self, pieces: &[&str]| {
            let log = attack.pair.local.log();
            log[before..].lines().any(|line| pieces.iter().all(|piece| line.contains(piece)))
        };
        let has = |done: bool, why| if done { Ok(()) } else { Err(why) };
        match expect {
            Expect::Closed(why) => {
                has(self.pump(PATIENCE, |attack| says(attack, &["session ", why])), "the log does not say so")?;
                has(self.pump(PATIENCE, |attack| !attack.peer.has_session()), "the session stands")
            }
            Expect::Cut => has(self.pump(PATIENCE, |attack| !attack.peer.has_session()), "the session stands"),
            Expect::Frozen(reason) => {
                let line = ["a log is invalid", reason];
                has(self.pump(PATIENCE, |attack| says(attack, &line)), "the log does not say so")?;
                let shown = self.standing(self.generation);
                has(shown["frozen"] == reason, "`peers show` does not say so")?;
                has(self.settle(), "the session is closed")
            }
            Expect::Waits(reason) => {
                has(self.settle(), "the session is closed")?;
                let waits = |attack: &Self| attack.standing(attack.generation)["waits"] == reason;
                has(self.pump(PATIENCE, waits), "`peers show` does not say so")
            }
            Expect::Refused(why) => {
                has(self.pump(PATIENCE, |attack| says(attack, &["a change was ", why])), "the log does not say so")?;
                has(self.settle(), "the session is closed")
            }
            Expect::Ignored => {
                has(self.settle(), "the session is closed")?;
                let bad = ["a log is invalid", "a change was", "not followed", "WARN session closed", "panicked"];
                has(!bad.iter().any(|piece| says(self, &[piece])), "the log tells of it")
            }
        }
    }

    /// What `peers show` says of one of Cloud's logs.
    pub(super) fn standing(&self, generation: u64) -> Value {
        let shown = self.pair.local.json(&["peers", "show", "cloud", "--json"]);
        let logs = shown["logs"].as_array().cloned().unwrap_or_default();
        let of = |log: &&Value| log["generation"] == generation && log["audience"] == "all";
        logs.iter().find(of).cloned().unwrap_or_default()
    }

    /// Local's owner lets Cloud go on: afterwards nothing of Cloud's is invalid or waits.
    pub(super) fn heal(&mut self) {
        let said = self.pair.local.must(&["peers", "heal", "cloud"]);
        self.ready();
        let epoch = self.epoch + 1;
        let grown = |attack: &Self| attack.pair.local.json(&["peers", "list", "--json"])["epoch"] == epoch;
        assert!(self.pump(PATIENCE, grown), "{said}");
        let is_sound = |attack: &Self| {
            let status = attack.pair.local.json(&["status", "--json"]);
            status["frozen_logs"] == serde_json::json!([]) && status["waiting_logs"] == serde_json::json!([])
        };
        let sound = self.pump(Duration::from_secs(10), is_sound);
        assert!(sound, "healed: {said}, and yet {}", self.pair.local.must(&["status"]));
        self.epoch = epoch;
        let generation = said.rsplit_once("generation ").and_then(|(_, number)| number.parse().ok());
        self.floor = generation.unwrap_or_else(|| panic!("a generation in {said}"));
        // What it did not close was not invalid, and is taken still.
        self.generation = self.floor.max(self.generation + 1);
    }

    /// Memory of Local's mesh process, in KiB.
    fn rss(&self) -> u64 {
        let field = status_field(self.pair.local.processes()["mesh"], "VmRSS").expect("the mesh runs");
        field.trim_end_matches(" kB").parse().expect("a number")
    }

    /// Asserts that Local is as it was, and that the true Cloud goes on.
    pub(super) fn end(&mut self) {
        self.peer.disconnect();
        let (before, after) = (self.rss_before, self.rss());
        tell(&format!("{} cases; the mesh process had {before} KiB before and has {after} KiB after", self.count));
        assert!(after.saturating_sub(before) <= RSS_GROWTH_MAX_KIB, "{before} KiB became {after} KiB");
        self.assert_untouched();
        self.assert_that_cloud_goes_on();
        self.assert_untouched();
    }

    fn assert_that_cloud_goes_on(&mut self) {
        let status = self.pair.local.json(&["status", "--json"]);
        if status["waiting_logs"].to_string().contains("files") {
            // What it has used up is Local's owner to give.
            self.pair.local.stop();
            self.pair.local.configure("");
            self.pair.local.start();
        }
        if status["frozen_logs"] != serde_json::json!([]) {
            // Of the last generation, so that no log of the peer's is left open.
            self.freeze_last();
            self.heal();
            self.peer.disconnect();
        }
        self.pair.cloud.start();
        self.pair.wait("the true Cloud is back", |pair| {
            pair.local.json(&["status", "--json"])["peers"][0]["connected"] == true
        });
        self.pair.cloud.save("Plans/before.md", "to be in step\n");
        self.pair.wait("they are in step", |pair| pair.local.read("Plans/before.md").is_some());
        for (path, at_cloud) in [("Plans/of_cloud.md", true), ("Plans/of_local.md", false)] {
            let (from, to) =
                if at_cloud { (&self.pair.cloud, &self.pair.local) } else { (&self.pair.local, &self.pair.cloud) };
            let saved = Instant::now();
            from.save(path, "an edit\n");
            self.pair.wait(path, |_| to.read(path).is_some());
            let took = saved.elapsed();
            tell(&format!("{path} took {took:?}"));
            assert!(took <= SYNC_MAX, "{path} took {took:?}");
        }
    }

    fn freeze_last(&mut self) {
        self.ready();
        self.generation = self.floor + GENERATIONS_AHEAD_MAX;
        if self.standing(self.generation)["frozen"].is_string() {
            return;
        }
        let mut draft = self.draft(vec![Item::base(b"", 0)]);
        draft.items.clear();
        self.send_draft(&draft);
        let frozen = |attack: &Self| attack.standing(attack.generation)["frozen"] == "malformed";
        assert!(self.pump(PATIENCE, frozen), "{}", self.pair.local.last_words());
    }

    /// What Cloud may not write is as it was, and nothing was sent.
    fn assert_untouched(&self) {
        for (path, note) in OWNERS {
            assert_eq!(self.pair.local.read(path).as_deref(), Some(note.as_bytes()), "{path}");
        }
        let mut folders = vec![self.pair.local.vault.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("a folder of the vault").flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let within = path.strip_prefix(&self.pair.local.vault).expect("below the vault");
                let bytes = fs::read(&path).unwrap_or_default();
                let marked = bytes.windows(MARK.len()).any(|window| window == MARK.as_bytes());
                assert!(!marked || CLOUDS.iter().any(|folder| within.starts_with(folder)), "{}", within.display());
            }
        }
        let outside = self.pair.local.vault.parent().expect("the vault lies in a folder");
        for name in ["escaped.md", "vault/escaped.md"] {
            assert!(!outside.join(name).exists(), "{name}");
        }
        assert_eq!(self.pair.local.outbox(), Vec::<String>::new());
    }
}

/// What a run measured, for whoever looks.
#[expect(clippy::print_stderr, reason = "shown when a test fails, or when output is asked for")]
fn tell(text: &str) {
    eprintln!("{text}");
}
