//! Real nodes: homes and vaults in a temporary folder, processes that end with their owner.

use std::{
    fs::{self, OpenOptions},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Nothing that works takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(10);
const STOP_PATIENCE: Duration = Duration::from_secs(15);
/// Log lines that a failure shows of each node.
const LAST_WORDS: usize = 15;

/// How Local's owner keys are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnerKeys {
    Unprotected,
    /// Under a passphrase in [`Pair::passphrase_file`].
    Passphrase,
}

/// One node: its home, its vault, and its process while it runs.
#[derive(Debug)]
pub(crate) struct Node {
    role: &'static str,
    home: PathBuf,
    pub(crate) vault: PathBuf,
    log: PathBuf,
    child: Option<Child>,
}

impl Node {
    fn init(dir: &Path, role: &'static str, keys: &[&str], settings: &str) -> Result<Self> {
        let place = |what: &str| dir.join(format!("{role}-{what}"));
        let node = Self { role, home: place("home"), vault: place("vault"), log: place("log"), child: None };
        let vault = node.vault.to_string_lossy().into_owned();
        node.must(&[&["init", "--role", role, "--vault", &vault], keys].concat())?;
        let config = format!("vault = {}\n{settings}", Value::from(vault));
        fs::write(node.home.join("config.toml"), config)?;
        Ok(node)
    }

    /// Changes the settings; the node reads them when it starts.
    pub(crate) fn configure(&self, change: impl FnOnce(String) -> String) -> Result<()> {
        let path = self.home.join("config.toml");
        Ok(fs::write(&path, change(fs::read_to_string(&path)?))?)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(super::machine::binary());
        command.arg("--home").arg(&self.home).args(args).stdin(Stdio::null());
        command
    }

    /// What a command that has to succeed printed.
    pub(crate) fn must(&self, args: &[&str]) -> Result<String> {
        let output = self.command(args).output().context("the node's program does not run")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{} {args:?} ended with {}: {said}", self.role, output.status);
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// The IDs of the actions that wait for approval.
    pub(crate) fn pending(&self) -> Result<Vec<String>> {
        let listed: Value = serde_json::from_str(&self.must(&["approvals", "list", "--json"])?)?;
        let items = listed["items"].as_array().into_iter().flatten();
        let pending = items.filter(|item| item["state"] == "pending");
        Ok(pending.filter_map(|item| item["id"].as_str().map(str::to_owned)).collect())
    }

    /// Starts the node and waits until it is ready.
    pub(crate) fn start(&mut self) -> Result<()> {
        let before = self.log().len();
        let log = OpenOptions::new().create(true).append(true).open(&self.log)?;
        let mut command = self.command(&["--role", self.role]);
        self.child = Some(command.stdout(Stdio::null()).stderr(log).spawn()?);
        wait("the node is ready", || self.log()[before..].lines().any(|line| line == "ready"))
            .with_context(|| self.last_words())
    }

    /// Fails with the node's last words when it ended by itself.
    pub(crate) fn must_run(&mut self) -> Result<()> {
        let ended = self.child.as_mut().context("the node was not started")?.try_wait()?;
        ensure!(ended.is_none(), "{} ended by itself: {ended:?}{}", self.role, self.last_words());
        Ok(())
    }

    /// Process ids of the node, by name.
    pub(crate) fn processes(&self) -> Vec<(String, u32)> {
        let Some(own) = self.child.as_ref().map(Child::id) else { return Vec::new() };
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let all = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let children = all.filter(|pid| parent(*pid) == Some(own)).map(|pid| (process_name(pid), pid));
        let first = if self.role == "local" { "supervisor" } else { "mesh" };
        std::iter::once((first.to_owned(), own)).chain(children).collect()
    }

    /// Puts a file into the vault whole, folders included.
    pub(crate) fn save(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let target = self.vault.join(path);
        let folder = target.parent().context("a note lies in a folder")?;
        fs::create_dir_all(folder)?;
        let made = folder.join(".made.tmp");
        fs::write(&made, bytes)?;
        Ok(fs::rename(made, target)?)
    }

    /// Ends the node by its id, hard if it does not end by itself.
    pub(crate) fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        if let Some(pid) = Pid::from_raw(child.id().cast_signed()) {
            // It may have ended meanwhile.
            kill_process(pid, Signal::TERM).ok();
        }
        let until = Instant::now() + STOP_PATIENCE;
        while child.try_wait().is_ok_and(|ended| ended.is_none()) {
            if Instant::now() >= until {
                child.kill().ok();
            }
            thread::sleep(LOOK_AGAIN);
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let from = lines.len().saturating_sub(LAST_WORDS);
        lines[from..].iter().map(|line| format!("\n  {}: {line}", self.role)).collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A Cloud and a Local node of one mesh, both running.
#[derive(Debug)]
pub(crate) struct Pair {
    // Dropped in this order: the processes before their folder.
    pub(crate) local: Node,
    pub(crate) cloud: Node,
    dir: TempDir,
}

impl Pair {
    /// `settings` are Local's, beside its vault.
    pub(crate) fn start(keys: OwnerKeys, settings: &str) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let listen = format!("listen = [\"/ip4/127.0.0.1/tcp/{port}\"]\n[brain]\nkind = \"template\"\n");
        let cloud = Node::init(dir.path(), "cloud", &["--unprotected-keys"], &listen)?;
        let passphrase = dir.path().join("passphrase").to_string_lossy().into_owned();
        let protection = match keys {
            OwnerKeys::Unprotected => vec!["--unprotected-keys"],
            OwnerKeys::Passphrase => {
                aiemp_keys::private_file::write_private(Path::new(&passphrase), b"a passphrase of five words\n")?;
                vec!["--passphrase-file", &passphrase]
            }
        };
        let local = Node::init(dir.path(), "local", &protection, settings)?;
        let mut pair = Self { local, cloud, dir };
        let met = pair.meet(keys);
        met.with_context(|| format!("{}{}", pair.cloud.last_words(), pair.local.last_words()))?;
        Ok(pair)
    }

    fn meet(&mut self, keys: OwnerKeys) -> Result<()> {
        self.cloud.start()?;
        let addresses = self.cloud.home.join("run/addresses");
        wait("Cloud listens", || fs::metadata(&addresses).is_ok_and(|file| file.len() > 0))?;
        let ticket = self.cloud.must(&["pair", "invite"])?;
        let passphrase = self.passphrase_file();
        let mut accept = vec!["pair", "accept", &ticket, "--yes"];
        if keys == OwnerKeys::Passphrase {
            accept.extend(["--passphrase-file", &passphrase]);
        }
        self.local.must(&accept)?;
        let socket = self.cloud.home.join("run/control.sock");
        wait("Cloud is in the mesh", || socket.exists())?;
        self.local.start()?;
        self.local.save("Plans/hello.md", b"hello\n")?;
        let hello = self.cloud.vault.join("Plans/hello.md");
        wait("the vaults merge", || hello.exists())
    }

    pub(crate) fn passphrase_file(&self) -> String {
        self.dir.path().join("passphrase").to_string_lossy().into_owned()
    }
}

/// Waits until it is true.
pub(crate) fn wait(what: &str, mut done: impl FnMut() -> bool) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    while !done() {
        if Instant::now() >= until {
            bail!("{what}: not within {} s", PATIENCE.as_secs());
        }
        thread::sleep(LOOK_AGAIN);
    }
    Ok(())
}

fn parent(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

fn process_name(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut words = line.split(|byte| *byte == 0).skip_while(|word| *word != b"process");
    String::from_utf8_lossy(words.nth(1).unwrap_or(b"other")).into_owned()
}
