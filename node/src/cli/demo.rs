//! `demo`: the whole story with two real nodes on this machine.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::print;
use crate::{executor::journal_store::JournalStore, fault::Fault, home::Home};

/// No step takes longer on a machine that works.
const STEP_PATIENCE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

const MAIL: &str = "From: Client A <client.a@client.test>\r\n\
To: me@example.test\r\n\
Subject: Invoice for January: [urgent]\r\n\
Date: Wed, 07 Jan 2026 10:30:00 +0000\r\n\
Message-ID: <demo-0001@client.test>\r\n\
MIME-Version: 1.0\r\n\
Content-Type: text/plain; charset=utf-8\r\n\
\r\n\
Hello,\r\n\
\r\n\
could you please send me the invoice for January?\r\n\
\r\n\
Client A\r\n";

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Keep homes and vaults in this folder, which must not exist
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

pub(super) fn demo(args: &DemoArgs) -> Result<ExitCode> {
    let stop = Arc::new(AtomicBool::new(false));
    watch_for_interrupt(stop.clone())?;
    let place = Place::make(args.keep.clone())?;
    let mut story = Story::new(&place.dir, args.json, stop)?;
    let told = story.tell();
    story.end_nodes();
    match told {
        Ok(end) => {
            report(args, &story, &end, &place);
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            // The nodes hear of Ctrl-C as well, and may end before this process has.
            std::thread::sleep(10 * LOOK_AGAIN);
            let is_interrupted = story.stop.load(Ordering::Relaxed);
            if args.json {
                print::json(json!({ "ok": false, "steps": story.steps, "home": place.dir }));
            }
            if is_interrupted {
                let left = if place.keep { "What it made is kept." } else { "Nothing of it is left." };
                let message = format!("the demo was stopped after {} steps", story.steps.len());
                return Err(Fault::operator("interrupted", message, left).into());
            }
            let logs = story.logs();
            Err(error
                .context(format!("the demo stopped after {} steps; the nodes' last words:\n{logs}", story.steps.len())))
        }
    }
}

fn report(args: &DemoArgs, story: &Story, end: &End, place: &Place) {
    if args.json {
        return print::json(json!({ "ok": true, "steps": story.steps, "sent_count": end.sent_count,
            "message_id": end.message_id, "home": place.dir }));
    }
    print::data(format!("\n{} mail sent, Message-ID {}", end.sent_count, end.message_id));
    if place.keep {
        print::data(format!("Everything is kept in {}", place.dir.display()));
    }
}

/// The folder of the demo; gone afterwards unless it is to be kept.
struct Place {
    dir: PathBuf,
    keep: bool,
}

impl Place {
    fn make(keep: Option<PathBuf>) -> Result<Self> {
        let dir = match &keep {
            Some(dir) => std::path::absolute(dir)?,
            None => std::env::temp_dir().join(format!("aiemp-demo-{}", std::process::id())),
        };
        std::fs::create_dir(&dir)
            .with_context(|| format!("cannot make {}; choose a folder that does not exist", dir.display()))?;
        Ok(Self { dir, keep: keep.is_some() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.keep {
            // What cannot be removed lies in the temporary folder and harms nobody.
            std::fs::remove_dir_all(&self.dir).ok();
        }
    }
}

fn watch_for_interrupt(stop: Arc<AtomicBool>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Here and not in the thread: from now on an interrupt ends the demo in order, however late the thread runs.
    let mut interrupts = {
        let _inside = runtime.enter();
        signal(SignalKind::interrupt())?
    };
    std::thread::Builder::new().name("interrupt".to_owned()).spawn(move || {
        if runtime.block_on(interrupts.recv()).is_some() {
            stop.store(true, Ordering::Relaxed);
        }
    })?;
    Ok(())
}

/// One side of the story.
struct Side {
    role: &'static str,
    home: Home,
    vault: PathBuf,
    log: PathBuf,
    running: Option<Child>,
}

impl Side {
    fn new(dir: &Path, role: &'static str) -> Self {
        Self {
            role,
            home: Home::at(dir.join(format!("{role}-home"))),
            vault: dir.join(format!("{role}-vault")),
            log: dir.join(format!("{role}.log")),
            running: None,
        }
    }

    fn run(&self, arguments: &[&str]) -> Result<Output> {
        let output = Command::new(std::env::current_exe()?)
            .arg("--home")
            .arg(self.home.path())
            .args(arguments)
            .stdin(Stdio::null())
            .output()?;
        Ok(output)
    }

    fn must(&self, arguments: &[&str]) -> Result<String> {
        let output = self.run(arguments)?;
        ensure!(
            output.status.success(),
            "`aiemp-node {}` failed: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    fn json(&self, arguments: &[&str]) -> Result<Value> {
        Ok(serde_json::from_str(&self.must(arguments)?)?)
    }

    fn start(&mut self) -> Result<()> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log)?;
        let child = Command::new(std::env::current_exe()?)
            .arg("--home")
            .arg(self.home.path())
            .args(["--role", self.role])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        self.running = Some(child);
        Ok(())
    }

    fn end(&mut self) {
        let Some(mut child) = self.running.take() else { return };
        if let Some(pid) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
            // It may have ended by itself.
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
        }
        child.wait().ok();
    }
}

/// How the story ended.
struct End {
    sent_count: usize,
    message_id: String,
}

struct Story {
    cloud: Side,
    local: Side,
    json: bool,
    stop: Arc<AtomicBool>,
    steps: Vec<Value>,
    since: Instant,
}

impl Story {
    fn new(dir: &Path, json: bool, stop: Arc<AtomicBool>) -> Result<Self> {
        let (cloud, local) = (Side::new(dir, "cloud"), Side::new(dir, "local"));
        Ok(Self { cloud, local, json, stop, steps: Vec::new(), since: Instant::now() })
    }

    fn tell(&mut self) -> Result<End> {
        self.set_up()?;
        self.since = Instant::now();
        self.mail_in()?;
        let id = self.come_back()?;
        self.approve(&id)?;
        let message_id = self.replay(&id)?;
        self.edit_late(&id)?;
        Ok(End { sent_count: self.sent().len(), message_id })
    }

    /// Two homes, paired; Local is not running.
    fn set_up(&mut self) -> Result<()> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        for side in [&self.cloud, &self.local] {
            let vault = side.vault.to_string_lossy().into_owned();
            side.must(&["init", "--role", side.role, "--vault", &vault, "--unprotected-keys"])?;
        }
        let listen = format!("listen = [\"/ip4/127.0.0.1/tcp/{port}\"]");
        edit(&self.cloud.home.config(), "listen = [\"/ip4/0.0.0.0/tcp/4001\"]", &listen)?;
        let from = "# from = \"Your Name <you@example.org>\"";
        edit(&self.local.home.config(), from, "from = \"Me <me@example.test>\"")?;
        self.cloud.start()?;
        self.wait("Cloud listens", |story| {
            std::fs::metadata(story.cloud.home.addresses()).is_ok_and(|file| file.len() > 0)
        })?;
        let ticket = self.cloud.must(&["pair", "invite"])?;
        self.local.must(&["pair", "accept", &ticket, "--yes"])?;
        self.wait("Cloud is in the mesh", |story| story.cloud.home.control_socket().exists())
    }

    fn mail_in(&mut self) -> Result<()> {
        let drop = self.cloud.vault.join(".mail.tmp");
        std::fs::write(&drop, MAIL)?;
        std::fs::rename(&drop, self.cloud.vault.join("Inbox/invoice.eml"))?;
        self.wait("the mail becomes a task", |story| {
            find(&story.cloud.vault, "Needs_Action/email", "EMAIL_").is_some()
                || find(&story.cloud.vault, "In_Progress/cloud", "EMAIL_").is_some()
        })?;
        self.step("mail_arrived", "Local is off; Cloud has the mail", &self.cloud.vault.join("Needs_Action/email"));
        self.wait("Cloud drafts", |story| draft(&story.cloud.vault).is_some())?;
        self.step("drafted", "Cloud filed a reply for approval", &self.cloud.vault.join("Pending_Approval/email"));
        Ok(())
    }

    fn come_back(&mut self) -> Result<String> {
        self.local.start()?;
        self.wait("Local starts", |story| story.local.home.control_socket().exists())?;
        self.step("local_back", "Local is back", &self.local.log.clone());
        self.wait("the vaults merge", |story| draft(&story.local.vault).is_some())?;
        self.wait("Local knows the task", |story| story.task_state() == "TASK_STATE_AUTH_REQUIRED")?;
        self.step("merged", "the draft is in Local's vault", &self.local.vault.join("Pending_Approval/email"));
        let listed = self.local.json(&["approvals", "list", "--json"])?;
        let item = listed["items"].as_array().and_then(|items| items.first()).context("nothing waits for approval")?;
        let id = item["id"].as_str().context("an item has an id")?.to_owned();
        let shown = self.local.json(&["approvals", "show", &id, "--json"])?;
        let render = shown["render"].as_str().context("the action is shown")?.to_owned();
        ensure!(render.contains("client.a@client.test"), "the recipient is not shown");
        if !self.json {
            print::data(format!("\n{}\n", indent(&render)));
        }
        self.step(
            "shown",
            "this, byte for byte, is what would be sent",
            Path::new(&format!("approvals show {}", &id[..12])),
        );
        Ok(id)
    }

    fn approve(&mut self, id: &str) -> Result<()> {
        self.local.must(&["approvals", "approve", id])?;
        self.step("approved", "signed with the approve key", &self.local.home.approved());
        self.wait("the executor sends", |story| !story.sent().is_empty())?;
        self.step("sent", "sent once, by the outbox hand", &self.local.home.outbox().join("new"));
        self.wait("both vaults file it", |story| {
            [&story.local.vault, &story.cloud.vault].into_iter().all(|vault| {
                find(vault, "Done/email", "REPLY_").is_some() && find(vault, "Done/email", "EMAIL_").is_some()
            })
        })?;
        self.wait("Cloud's task is completed", |story| story.task_state() == "TASK_STATE_COMPLETED")?;
        self.step("done", "task, plan and reply are filed", &self.local.vault.join("Done/email"));
        Ok(())
    }

    /// Someone kept a copy of the approval and hands it in again.
    fn replay(&mut self, id: &str) -> Result<String> {
        let bundle = stored_approval(&self.local.home, id)?;
        let copy = self.local.home.approved().join("replay.approval");
        aiemp_keys::private_file::write_private(&copy, &bundle)?;
        let refused = self.local.home.executor().join("refused");
        self.wait("the replay is refused", |_| {
            std::fs::read_dir(&refused).is_ok_and(|mut files| files.next().is_some()) && !copy.exists()
        })?;
        ensure!(self.sent().len() == 1, "the replay was sent");
        self.step("replay_refused", "the same approval, handed in again, is refused", &refused);
        let mail = self.sent().pop().context("the mail is gone")?;
        let text = std::fs::read_to_string(mail)?;
        let line =
            text.lines().find_map(|line| line.strip_prefix("Message-ID: ")).context("a mail has a Message-ID")?;
        Ok(line.trim().to_owned())
    }

    /// Cloud edits the draft after the approval: another recipient under the same task.
    fn edit_late(&mut self, id: &str) -> Result<()> {
        let done = find(&self.cloud.vault, "Done/email", "REPLY_").context("the reply is filed")?;
        let text = std::fs::read_to_string(&done)?.replace("client.a@client.test", "attacker@evil.test");
        let name = done.file_name().context("a file has a name")?.to_owned();
        let late = self.cloud.vault.join("Pending_Approval/email").join(&name);
        std::fs::write(&late, text)?;
        self.wait("the late edit reaches Local", |story| draft(&story.local.vault).is_some())?;
        let listed = self.local.json(&["approvals", "list", "--json"])?;
        let pending = |item: &&Value| item["state"] == "pending";
        let new =
            listed["items"].as_array().into_iter().flatten().find(pending).context("the edited draft is listed")?;
        let new = new["id"].as_str().context("an item has an id")?.to_owned();
        ensure!(new != id, "the edited draft has the approved one's ID");
        for id in [id, &new] {
            let refused = self.local.run(&["approvals", "approve", id, "--json"])?;
            ensure!(refused.status.code() == Some(1), "an edit after approval was approved without --again");
        }
        ensure!(self.sent().len() == 1, "the edited draft was sent");
        self.step(
            "edit_refused",
            "the draft, edited after approval, is not sent",
            &self.local.vault.join("Pending_Approval/email"),
        );
        Ok(())
    }

    /// How Local says that the announced draft stands.
    fn task_state(&self) -> String {
        let tasks = self.cloud.json(&["a2a", "tasks", "local", "--json"]).unwrap_or_default();
        tasks["items"][0]["status"]["state"].as_str().unwrap_or_default().to_owned()
    }

    fn sent(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.local.home.outbox().join("new")).into_iter().flatten().flatten();
        files.map(|file| file.path()).collect()
    }

    fn wait(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> Result<()> {
        let until = Instant::now() + STEP_PATIENCE;
        while !done(self) {
            ensure!(!self.stop.load(Ordering::Relaxed), "interrupted");
            for side in [&mut self.cloud, &mut self.local] {
                if let Some(ended) = side.running.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                    bail!("the {} node ended with {ended}", side.role);
                }
            }
            ensure!(Instant::now() < until, "{what}: not within {} s", STEP_PATIENCE.as_secs());
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    fn step(&mut self, name: &str, said: &str, look: &Path) {
        let ms = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.since = Instant::now();
        self.steps.push(json!({ "name": name, "ms": ms }));
        if !self.json {
            print::data(format!("{name:<15} {ms:>6} ms  {said}\n{:26}{}", "", look.display()));
        }
    }

    fn end_nodes(&mut self) {
        self.local.end();
        self.cloud.end();
    }

    fn logs(&self) -> String {
        let tail = |side: &Side| {
            let text = std::fs::read_to_string(&side.log).unwrap_or_default();
            let lines: Vec<_> = text.lines().rev().take(8).collect();
            lines.into_iter().rev().map(|line| format!("  {}: {line}\n", side.role)).collect::<String>()
        };
        tail(&self.cloud) + &tail(&self.local)
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        self.end_nodes();
    }
}

/// A copy of the approval, as someone who can read the executor's journal would have it.
fn stored_approval(home: &Home, id: &str) -> Result<Vec<u8>> {
    let rows = JournalStore::of(home)?.load()?;
    let row = rows.into_iter().find(|row| row.verified.decision.action.to_string() == id);
    Ok(row.context("the journal holds the approval")?.verified.bundle.to_bytes())
}

fn edit(file: &Path, from: &str, to: &str) -> Result<()> {
    let text = std::fs::read_to_string(file)?;
    ensure!(text.contains(from), "{} is not as init writes it", file.display());
    Ok(aiemp_keys::private_file::write_private(file, text.replace(from, to).as_bytes())?)
}

fn draft(vault: &Path) -> Option<PathBuf> {
    find(vault, "Pending_Approval/email", "REPLY_")
}

fn find(vault: &Path, folder: &str, prefix: &str) -> Option<PathBuf> {
    let files = std::fs::read_dir(vault.join(folder)).ok()?.flatten();
    files.map(|file| file.path()).find(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with(prefix) && name.ends_with(".md")
    })
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}
