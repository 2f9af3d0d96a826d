//! Real nodes: homes and vaults in a temporary folder, and processes that end with their test.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::Write as _,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Mutex, OnceLock},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, getuid, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Nothing that works takes longer, on a slow machine with other tests beside it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// Log lines that a failed wait shows of each node.
const LAST_WORDS: usize = 25;

/// Folders whose files every member has.
const SHARED: [&str; 11] = [
    "Inbox",
    "Needs_Action",
    "Plans",
    "Pending_Approval",
    "Updates",
    "Signals",
    "Logs",
    "In_Progress",
    "Approved",
    "Rejected",
    "Done",
];

/// The node's program, which lies above this test's own; built if it is absent or older than the test.
pub(crate) fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let test = std::env::current_exe().expect("a running test has a path");
        let folder = test.ancestors().nth(2).expect("a test lies in target/<profile>/deps");
        let binary = folder.join("aiemp-node");
        let modified = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
        if modified(&binary) < modified(&test) {
            build_into(folder);
        }
        binary
    })
}

fn build_into(folder: &Path) {
    let profile = match folder.file_name().and_then(|name| name.to_str()).expect("a profile has a name") {
        "debug" => "dev",
        name => name,
    };
    let target = folder.parent().expect("a profile lies below the target folder");
    let built = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--quiet", "--package", "aiemp-node", "--profile", profile, "--target-dir"])
        .arg(target)
        .output()
        .expect("cargo runs");
    assert!(built.status.success(), "aiemp-node does not build: {}", text(&built.stderr));
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether it became true in time.
pub(crate) fn becomes(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + limit;
    loop {
        if done() {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        thread::sleep(LOOK_AGAIN);
    }
}

/// A port that is this process's until it ends: free now, below those that the system gives to outgoing connections,
/// and locked against the tests that run beside this one.
pub(crate) fn free_port() -> u16 {
    static TAKEN: Mutex<Vec<File>> = Mutex::new(Vec::new());
    let locks = std::env::temp_dir().join(format!("aiemp-test-ports-{}", getuid().as_raw()));
    fs::create_dir_all(&locks).expect("a folder for locks");
    for port in 10_240..30_240 {
        let lock = File::create(locks.join(port.to_string())).expect("a lock");
        if lock.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            TAKEN.lock().expect("nobody panics here").push(lock);
            return port;
        }
    }
    panic!("no port is free");
}

/// How a command refused: its exit code, and what it said.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: Option<i32>,
    pub(crate) said: String,
}

impl Refusal {
    pub(crate) fn of(output: &Output) -> Self {
        Self { code: output.status.code(), said: text(&output.stderr) }
    }

    /// Asserts the exit code, and that each piece stands in what was said.
    pub(crate) fn assert(&self, code: i32, pieces: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.said);
        for piece in pieces {
            assert!(self.said.contains(piece), "{piece:?} is not in: {}", self.said);
        }
    }
}

/// One node: its home, its vault, and its process while it runs.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) role: &'static str,
    pub(crate) home: PathBuf,
    pub(crate) vault: PathBuf,
    log: PathBuf,
    child: Option<Child>,
    /// The network namespace that its programs run in, if it is not the test's own.
    pub(crate) namespace: Option<String>,
}

impl Node {
    /// A node that was not initialised.
    pub(crate) fn at(dir: &Path, role: &'static str) -> Self {
        let place = |what: &str| dir.join(format!("{role}-{what}"));
        Self { role, home: place("home"), vault: place("vault"), log: place("log"), child: None, namespace: None }
    }

    /// A new home and vault. Keys are unprotected unless `extra` says how they are protected.
    pub(crate) fn init(dir: &Path, role: &'static str, extra: &[&str]) -> Self {
        let node = Self::at(dir, role);
        let vault = node.vault.to_string_lossy().into_owned();
        let mut args = vec!["init", "--role", role, "--vault", &vault];
        args.extend(if extra.is_empty() { &["--unprotected-keys"] } else { extra });
        node.must(&args);
        node
    }

    /// Replaces the settings; the vault stays.
    pub(crate) fn configure(&self, settings: &str) {
        let vault = Value::from(self.vault.to_string_lossy().into_owned());
        fs::write(self.home.join("config.toml"), format!("vault = {vault}\n{settings}")).expect("settings are written");
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = match &self.namespace {
            None => Command::new(binary()),
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace]).arg(binary());
                command
            }
        };
        command.arg("--home").arg(&self.home).args(args).stdin(Stdio::null()).env_remove("AIEMP_LOG");
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the node's program runs")
    }

    /// What a command that has to succeed printed.
    pub(crate) fn must(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let said = text(&output.stderr);
        assert!(output.status.success(), "{} {args:?} ended with {}: {said}", self.role, output.status);
        text(&output.stdout).trim().to_owned()
    }

    /// What came of a command that reads this.
    pub(crate) fn with_input(&self, args: &[&str], input: &str) -> Output {
        let mut command = self.command(args);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the node's program runs");
        // A command that refuses early does not read.
        child.stdin.take().expect("a pipe").write_all(input.as_bytes()).ok();
        child.wait_with_output().expect("the command ends")
    }

    /// Stores a secret; `extra` are more words for the command.
    pub(crate) fn store_secret(&self, name: &str, extra: &[&str], value: &str) {
        let stored = self.with_input(&[&["secrets", "add", name][..], extra].concat(), value);
        assert!(stored.status.success(), "{} takes no secret: {}", self.role, text(&stored.stderr));
    }

    pub(crate) fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.must(args)).expect("the command prints JSON")
    }

    /// What a command that has to fail said. One that would run the node is ended when it does not fail.
    pub(crate) fn refused(&self, args: &[&str]) -> Refusal {
        let mut child =
            self.command(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the node's program runs");
        if !becomes(PATIENCE, || child.try_wait().is_ok_and(|ended| ended.is_some())) {
            signal(child.id(), Signal::TERM);
        }
        let refusal = Refusal::of(&child.wait_with_output().expect("the command ends"));
        assert_ne!(refusal.code, Some(0), "{} {args:?} was not refused", self.role);
        refusal
    }

    /// Starts the node and waits until it is ready.
    pub(crate) fn start(&mut self) {
        let before = self.log().len();
        self.spawn();
        let role = self.role;
        let is_ready = |node: &mut Self| node.log()[before..].lines().any(|line| line == "ready");
        let ready = becomes(PATIENCE, || is_ready(self) || !self.is_running());
        assert!(ready && is_ready(self), "{role} does not become ready: {}", self.last_words());
    }

    /// Starts the node and does not wait.
    pub(crate) fn spawn(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.role);
        let log = OpenOptions::new().create(true).append(true).open(&self.log).expect("the log opens");
        let mut command = self.command(&["--role", self.role]);
        self.child = Some(command.stdout(Stdio::null()).stderr(log).spawn().expect("the node starts"));
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().is_ok_and(|ended| ended.is_none()))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("the node runs").id()
    }

    /// Ends the node with SIGTERM; its exit code, and how long it took.
    pub(crate) fn stop(&mut self) -> (Option<i32>, Duration) {
        let Some(mut child) = self.child.take() else { return (None, Duration::ZERO) };
        let started = Instant::now();
        signal(child.id(), Signal::TERM);
        if !becomes(PATIENCE, || child.try_wait().is_ok_and(|ended| ended.is_some())) {
            child.kill().ok();
        }
        let ended = child.wait().expect("the node ends");
        (ended.code(), started.elapsed())
    }

    /// Waits until the node ended by itself, or because a process of its was killed.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        assert!(becomes(PATIENCE, || !self.is_running()), "{} does not end", self.role);
        self.child.take().and_then(|mut child| child.wait().ok()).and_then(|ended| ended.code())
    }

    /// Starts the node again, a process of which was killed, and does not wait until it is ready.
    pub(crate) fn spawn_again(&mut self) {
        self.wait_killed();
        self.spawn();
    }

    /// Waits until the node ended, a process of which was killed.
    pub(crate) fn wait_killed(&mut self) {
        self.ended();
        // Processes of a killed supervisor are told by the system and end in their own time.
        let lock = || File::open(self.home.join("mesh/lock")).is_ok_and(|file| file.try_lock().is_ok());
        assert!(becomes(PATIENCE, lock), "the mesh of a killed supervisor goes on");
    }

    /// Process ids of the processes that the node started, by name.
    pub(crate) fn processes(&self) -> BTreeMap<String, u32> {
        let parent = self.pid();
        let is_child = |pid: &u32| status_field(*pid, "PPid").is_some_and(|found| found == parent.to_string());
        let name = |pid: u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let words: Vec<String> = line.split(|byte| *byte == 0).map(text).collect();
            let at = words.iter().position(|word| word == "process")?;
            words.get(at + 1).cloned()
        };
        all_processes().into_iter().filter(is_child).filter_map(|pid| Some((name(pid)?, pid))).collect()
    }

    /// What the node wrote to stderr so far.
    pub(crate) fn log(&self) -> String {
        text(&fs::read(&self.log).unwrap_or_default())
    }

    pub(crate) fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let from = lines.len().saturating_sub(LAST_WORDS);
        lines[from..].iter().map(|line| format!("\n  {}: {line}", self.role)).collect()
    }

    /// Puts a mail into `Inbox/`, whole at once.
    pub(crate) fn drop_mail(&self, name: &str, mail: &[u8]) {
        let made = self.vault.join(format!(".{name}.made"));
        fs::write(&made, mail).expect("the mail is written");
        fs::rename(made, self.vault.join("Inbox").join(name)).expect("the mail is dropped");
    }

    /// Saves a note at once, folders included.
    pub(crate) fn save(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.vault.join(path);
        let folder = path.parent().expect("a note lies in a folder");
        fs::create_dir_all(folder).expect("its folder is made");
        let made = folder.join(".made");
        fs::write(&made, bytes).and_then(|()| fs::rename(made, path)).expect("the note is saved");
    }

    pub(crate) fn read(&self, path: &str) -> Option<Vec<u8>> {
        fs::read(self.vault.join(path)).ok()
    }

    /// Files of the vault's folder, by path below the vault; names with a dot in front are left out.
    pub(crate) fn files(&self, folder: &str) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        collect(&self.vault.join(folder), folder, &mut found);
        found
    }

    /// The files that every member should have.
    pub(crate) fn shared(&self) -> BTreeMap<String, Vec<u8>> {
        SHARED.iter().flat_map(|folder| self.files(folder)).collect()
    }

    /// The files of a folder whose names begin and end so.
    pub(crate) fn named(&self, folder: &str, prefix: &str, suffix: &str) -> Vec<String> {
        let is_named = |path: &String| {
            let name = path.rsplit('/').next().unwrap_or(path);
            name.starts_with(prefix) && name.ends_with(suffix)
        };
        self.files(folder).into_keys().filter(is_named).collect()
    }

    /// The mails that the outbox hand wrote.
    pub(crate) fn outbox(&self) -> Vec<String> {
        let files = fs::read_dir(self.home.join("outbox/new")).into_iter().flatten().flatten();
        files.map(|file| text(&fs::read(file.path()).expect("a mail in the outbox"))).collect()
    }

    /// The listing of `approvals`.
    pub(crate) fn approvals(&self) -> Vec<Value> {
        let listed = self.json(&["approvals", "list", "--json"]);
        listed["items"].as_array().cloned().expect("a listing has items")
    }

    /// The IDs of what is in this state.
    pub(crate) fn approvals_in(&self, state: &str) -> Vec<String> {
        let ids = self.approvals().into_iter().filter(|item| item["state"] == state);
        ids.map(|item| item["id"].as_str().expect("an item has an ID").to_owned()).collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Sends a signal to a process that this test started; one that ended meanwhile is left alone.
pub(crate) fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
        kill_process(pid, signal).ok();
    }
}

pub(crate) fn all_processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// A line of `/proc/<pid>/status`.
pub(crate) fn status_field(pid: u32, field: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    Some(line.trim().to_owned())
}

pub(crate) fn collect(folder: &Path, at: &str, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        let path = format!("{at}/{name}");
        match fs::symlink_metadata(entry.path()) {
            Ok(kind) if kind.is_dir() => collect(&entry.path(), &path, found),
            Ok(kind) if kind.is_file() => {
                // What is renamed away between the listing and the reading is seen at its new place next time.
                found.extend(fs::read(entry.path()).ok().map(|bytes| (path, bytes)));
            }
            Ok(_) | Err(_) => {}
        }
    }
}

/// A Cloud and a Local node of one mesh.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) cloud: Node,
    pub(crate) local: Node,
    dir: TempDir,
}

impl Pair {
    /// Two homes that are not paired, in a folder of their own; neither runs.
    pub(crate) fn strangers() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        Self::strangers_in(dir, &[])
    }

    /// Two homes that are not paired; `extra` goes to Local's `init`.
    pub(crate) fn strangers_in(dir: TempDir, extra: &[&str]) -> Self {
        let places = [dir.path().to_owned(), dir.path().to_owned()];
        Self::strangers_at(dir, &places, extra)
    }

    /// The same with Cloud and Local in these folders.
    pub(crate) fn strangers_at(dir: TempDir, places: &[PathBuf; 2], extra: &[&str]) -> Self {
        let local = Node::init(&places[1], "local", extra);
        Self::with_local(dir, &places[0], local)
    }

    /// Two homes that are not paired, of which Local's keys open for a passphrase that was typed: a mesh of a person.
    pub(crate) fn attended(passphrase: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let local = Node::at(dir.path(), "local");
        let words = dir.path().join("words").to_string_lossy().into_owned();
        let vault = local.vault.to_string_lossy().into_owned();
        let init = ["init", "--role", "local", "--vault", &vault, "--recovery-file", &words];
        let mut terminal = crate::terminal::Terminal::run(&local, &init, "true");
        for question in ["New passphrase", "Once more"] {
            terminal.shows(question);
            terminal.types(passphrase);
        }
        assert_eq!(terminal.ends(), Some(0));
        let place = dir.path().to_owned();
        Self::with_local(dir, &place, local)
    }

    fn with_local(dir: TempDir, place: &Path, local: Node) -> Self {
        let cloud = Node::init(place, "cloud", &[]);
        cloud.configure(&format!("listen = [\"/ip4/127.0.0.1/tcp/{}\"]\n[brain]\nkind = \"template\"\n", free_port()));
        local.configure("[mail]\nfrom = \"Me <me@example.test>\"\n");
        Self { cloud, local, dir }
    }

    /// A mesh of two of which Cloud runs.
    pub(crate) fn paired() -> Self {
        let mut pair = Self::strangers();
        pair.pair(&[]);
        pair
    }

    /// A mesh of two that both run.
    pub(crate) fn running() -> Self {
        let mut pair = Self::paired();
        pair.local.start();
        pair
    }

    /// Starts Cloud and pairs the two; `extra` goes to `pair accept`.
    pub(crate) fn pair(&mut self, extra: &[&str]) {
        self.cloud.start();
        let ticket = self.invite();
        let mut args = vec!["pair", "accept", &ticket, "--yes"];
        args.extend(extra);
        self.local.must(&args);
        self.wait("Cloud is in the mesh", |pair| pair.cloud.home.join("run/control.sock").exists());
    }

    /// A ticket of the running Cloud node.
    pub(crate) fn invite(&self) -> String {
        let addresses = self.cloud.home.join("run/addresses");
        self.wait("Cloud listens", |_| fs::metadata(&addresses).is_ok_and(|file| file.len() > 0));
        self.cloud.must(&["pair", "invite"])
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Waits until it is true; fails with the last words of both nodes.
    pub(crate) fn wait(&self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let is_done = becomes(PATIENCE, || done(self));
        assert!(is_done, "{what}: not within {PATIENCE:?}{}{}", self.cloud.last_words(), self.local.last_words());
    }

    /// Saves a file on one side, and waits until it is on both.
    pub(crate) fn save_on_both(&self, node: &Node, path: &str, text: &str) {
        node.save(path, text);
        self.wait_same(path, |files| files.get(path).is_some_and(|bytes| bytes == text.as_bytes()));
    }

    /// Waits until both vaults show the same shared files, among them all that `wanted` asks for.
    pub(crate) fn wait_same(&self, what: &str, mut wanted: impl FnMut(&BTreeMap<String, Vec<u8>>) -> bool) {
        // Megabytes that merge take a while on a machine that does other things.
        let patience = PATIENCE * 2;
        let mut last = (BTreeMap::new(), BTreeMap::new());
        let same = becomes(patience, || {
            last = (self.cloud.shared(), self.local.shared());
            last.0 == last.1 && wanted(&last.0)
        });
        let logs = || format!("{}{}", self.cloud.last_words(), self.local.last_words());
        assert!(same, "{what}: not within {patience:?}\n{}{}", differences(&last.0, &last.1), logs());
    }
}

/// With `AIEMP_TEST_KEEP` set, the homes and vaults of a test that fails stay to be looked at.
impl Drop for Pair {
    fn drop(&mut self) {
        if thread::panicking() && std::env::var_os("AIEMP_TEST_KEEP").is_some() {
            self.dir.disable_cleanup(true);
        }
    }
}

/// What differs between two vaults, one file a line.
pub(crate) fn differences(cloud: &BTreeMap<String, Vec<u8>>, local: &BTreeMap<String, Vec<u8>>) -> String {
    let paths: std::collections::BTreeSet<_> = cloud.keys().chain(local.keys()).collect();
    let differs = paths.into_iter().filter(|path| cloud.get(*path) != local.get(*path));
    let shown = |bytes: Option<&Vec<u8>>| bytes.map_or_else(|| "absent".to_owned(), |b| format!("{} bytes", b.len()));
    let line =
        |path: &String| format!("  {path}: cloud {}, local {}\n", shown(cloud.get(path)), shown(local.get(path)));
    differs.map(line).collect()
}
