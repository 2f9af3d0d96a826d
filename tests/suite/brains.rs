//! Brains that are agents, as programs of their own beside a running pair.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::{
    deploy::skip,
    node::{PATIENCE, Pair, all_processes, becomes, free_port, status_field, text},
    tools::Python,
};

const CLAUDE: &str = include_str!("brains/claude.py");
const MESSAGES_API: &str = include_str!("brains/messages_api.py");
const PACKAGE: &str = "@anthropic-ai/claude-code@2.1.197";

fn mail(number: u32) -> Vec<u8> {
    format!(
        "Message-ID: <{number}@client.test>\r\nFrom: Client A <a@client.test>\r\nTo: me@mine.test\r\n\
         Date: Wed, 7 Jan 2026 10:30:00 +0000\r\nSubject: Invoice {number}\r\n\r\nHow much is it?\r\n"
    )
    .into_bytes()
}

/// What a brain tries that obeys a mail: what it could open, write or change it says in its draft.
const ESCAPES: &str = r#"
for file in $FILES; do
    head -c 1 "$file" > /dev/null 2>&1 && echo "could read $file"
    echo taken 2> /dev/null > "$file" && echo "could write $file"
    chmod 644 "$file" 2> /dev/null && echo "could open $file to others"
done
grep -q secret "$LINKED" 2> /dev/null && echo "could read what $LINKED leads to"
ln -sf "$TARGET" "$LINKED"
cat "$LINKED" 2> /dev/null
cat "$HOME/left" 2> /dev/null && echo "could read what a run before left"
echo here > "$HOME/left"
chmod 755 "$HOME" 2> /dev/null && echo "could open its home to others"
grep -q Subject: /dev/stdin && echo "own: $(ls -A . | wc -l) files where it works" > /dev/stdout
setsid sleep 617.5 &
kill -0 $PPID 2> /dev/null && echo could signal others
mkdir -p deep/sealed && touch deep/file && chmod 0 . 2> /dev/null
/usr/bin/python3 -c 'import os; os.fchmod(os.open("deep/sealed", os.O_RDONLY), 0); os.fchmod(os.open("deep", os.O_RDONLY), 0)' 2> /dev/null
renice -n 1 -u "$(id -u)" > /dev/null 2>&1 && echo could slow others down
prlimit --pid $PPID --core=0 2> /dev/null && echo could limit others
env | cut -d= -f1 | sort | tr '\n' ' '
"#;

/// A running pair whose Cloud asks this agent.
fn pair_with(brain: &str) -> Pair {
    let mut pair = Pair::strangers();
    let listen = free_port();
    pair.cloud.configure(&format!("listen = [\"/ip4/127.0.0.1/tcp/{listen}\"]\n[brain]\n{brain}"));
    pair.pair(&[]);
    pair.local.start();
    pair
}

#[test]
fn an_agent_drafts_within_its_budget_and_what_waits_is_told() {
    let Some(python) = std::env::var_os("AIEMP_TEST_PYTHON") else {
        return skip("AIEMP_TEST_PYTHON is not set, so no agent drafted");
    };
    let dir = tempfile::tempdir().expect("a temporary folder");
    let program = dir.path().join("claude.py");
    fs::write(&program, CLAUDE).expect("the program");
    let Python { program: python, reads } = Python::at(&python);
    let command = serde_json::json!([python, program]);
    let mut pair = pair_with(&format!(
        "kind = \"command\"\npreset = \"claude-code\"\ncommand = {command}\nreads = {reads:?}\n\
         [brain.budget]\ndollars_per_day = 5.0\n"
    ));
    for number in 1..=3 {
        pair.cloud.drop_mail(&format!("{number}.eml"), &mail(number));
    }
    pair.wait("two drafts arrive", |pair| pair.local.approvals_in("pending").len() == 2);
    let spent = |pair: &Pair| pair.cloud.must(&["status"]).contains("the money of a day is used up: 1 task waits");
    pair.wait("it is told that the third waits", spent);
    let note = pair.local.approvals().remove(0);
    assert!(note["summary"].as_str().is_some_and(|summary| summary.contains("Re: Invoice")), "{note}");
    assert_eq!(pair.local.outbox().len(), 0, "its words approve nothing");
    // A restart makes no room.
    pair.cloud.stop();
    pair.cloud.start();
    pair.wait("it waits still", spent);
    assert_eq!(pair.local.approvals_in("pending").len(), 2);
    assert_eq!(pair.cloud.named("Needs_Action/email", "EMAIL_", ".md").len(), 1, "and nobody has it in hand");
}

/// The agent itself, installed once for all tests below the target folder; none where that cannot be.
fn claude_code() -> Option<PathBuf> {
    if std::env::var_os("AIEMP_TEST_ALL").is_none() {
        skip("the real Claude Code is asked by `./test.sh --all`");
        return None;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("claude-code");
    let program = folder.join("node_modules/.bin/claude");
    if !program.exists() {
        fs::create_dir_all(&folder).expect("a folder");
        let mut npm = Command::new("npm");
        let install = npm.args(["install", "--no-audit", "--no-fund", "--silent", PACKAGE]).current_dir(&folder);
        let is_installed = install.stdout(Stdio::null()).status().is_ok_and(|status| status.success());
        if !is_installed || !program.exists() {
            skip("npm could not install Claude Code, so the real one was not asked");
            return None;
        }
    }
    Some(program)
}

/// A model for it, until the test ends.
struct Model(Child);

impl Drop for Model {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The model, its port, and a way to hear which tools it was offered.
fn model(python: &std::ffi::OsStr, how: &str) -> (Model, u16, BufReader<std::process::ChildStdout>) {
    let mut child = Command::new(python)
        .args(["-c", MESSAGES_API, how])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the interpreter starts");
    let mut said = BufReader::new(child.stdout.take().expect("its stdout"));
    let mut port = String::new();
    said.read_line(&mut port).expect("it tells its port");
    (Model(child), port.trim().parse().expect("a port"), said)
}

fn settings(claude: &Path, port: u16) -> String {
    format!(
        "kind = \"command\"\npreset = \"claude-code\"\ncommand = [{claude:?}]\n\
         env = {{ ANTHROPIC_BASE_URL = \"http://127.0.0.1:{port}\", ANTHROPIC_API_KEY = \"dummy\" }}\n"
    )
}

#[test]
fn claude_code_drafts_by_our_tools_alone_and_its_limits_are_waited_for() {
    let Some(python) = std::env::var_os("AIEMP_TEST_PYTHON") else {
        return skip("AIEMP_TEST_PYTHON is not set, so the real Claude Code was not asked");
    };
    let Some(claude) = claude_code() else { return };
    let mode = fs::metadata(&claude).expect("it is there").permissions().mode();
    assert_ne!(mode & 0o100, 0, "it can be run");
    let (_model, port, mut said) = model(&python, "drafts");
    let pair = pair_with(&settings(&claude, port));
    pair.cloud.drop_mail("1.eml", &mail(1));
    pair.wait("the draft arrives", |pair| pair.local.approvals_in("pending").len() == 1);
    let mut tools = String::new();
    said.read_line(&mut tools).expect("it tells what tools it was offered");
    let tools: Vec<String> = serde_json::from_str(tools.strip_prefix("tools ").expect("tools")).expect("names");
    assert!(tools.iter().all(|tool| tool.starts_with("mcp__aiemp__")), "none but ours: {tools:?}");
    let plan = pair.cloud.named("Plans/email", "PLAN_", ".md");
    assert_eq!(plan.len(), 1, "{plan:?}");
    assert_eq!(pair.local.outbox().len(), 0);

    let (_model, port, _said) = model(&python, "limits");
    let pair = pair_with(&settings(&claude, port));
    pair.cloud.drop_mail("1.eml", &mail(1));
    pair.wait("it is told", |pair| pair.cloud.must(&["status"]).contains("the provider takes no more for now"));
    assert!(pair.local.approvals_in("pending").is_empty());
}

#[test]
fn a_brain_that_is_a_program_sees_neither_keys_nor_the_vault_and_writes_into_its_own_folder_alone() {
    let mut pair = Pair::strangers();
    let (home, vault) = (&pair.cloud.home, &pair.cloud.vault);
    let outside = pair.dir().join("outside");
    fs::write(&outside, "a secret of somebody else").expect("written");
    let planted = ["Approved/own.md", "Handbook.md"].map(|path| vault.join(path));
    let cache = pair.dir().join("cache");
    fs::create_dir(&cache).expect("made");
    let linked = cache.join("state");
    fs::write(&linked, "").expect("written");
    let own = ["keys/node.key", "config.toml", "mesh/planted"].map(|path| home.join(path));
    let forbidden: Vec<_> = own.iter().chain(&planted).chain([&outside]).map(|path| path.to_string_lossy()).collect();
    let command = serde_json::json!(["/bin/sh", "-c", ESCAPES, linked]);
    let port = free_port();
    pair.cloud.configure(&format!(
        "listen = [\"/ip4/127.0.0.1/tcp/{port}\"]\n[brain]\nkind = \"command\"\ncommand = {command}\nwrites = [{cache:?}]\n\
         env = {{ FILES = {:?}, LINKED = {linked:?}, TARGET = {outside:?} }}\n",
        forbidden.join(" ")
    ));
    pair.pair(&[]);
    pair.local.start();
    let mut said = Vec::new();
    for number in 1..=2 {
        pair.cloud.drop_mail(&format!("{number}.eml"), &mail(number));
        pair.wait("the draft arrives", |pair| pair.local.approvals_in("pending").len() == number as usize);
        said = pair.local.files("Pending_Approval").values().map(|draft| text(draft)).collect();
    }
    for draft in said {
        let (_, said) = draft.rsplit_once("---\n").expect("a body");
        assert!(said.contains("own: 0 files where it works") && !said.contains("could"), "{said}");
        assert_eq!(said.lines().last().map(str::trim), Some("FILES HOME LANG LINKED PATH PWD TARGET TMPDIR"), "{said}");
    }
    let is_empty = || pair.cloud.home.join("brain").read_dir().expect("it is there").count() == 0;
    assert!(becomes(PATIENCE, is_empty), "nothing of a run is left");
    let is_left = |pid: &u32| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == b"sleep\x00617.5\x00");
    assert!(becomes(PATIENCE, || !all_processes().iter().any(is_left)), "what left its group ended with it");
    assert_eq!(fs::read_to_string(&outside).expect("it is there"), "a secret of somebody else");
    assert!(planted.iter().all(|path| !path.exists()));
    let walls = pair.cloud.must(&["doctor"]);
    assert!(walls.contains("boundary: the brain, a program, cannot read keys"), "{walls}");
    assert!(walls.contains("boundary: the mesh process cannot read its key again"), "{walls}");
    let mode = if walls.contains("boundary: seccomp") { "2" } else { "0" };
    assert_eq!(status_field(pair.cloud.pid(), "Seccomp").as_deref(), Some(mode), "the mesh has a wall of its own");
}

#[test]
fn a_brain_that_would_see_keys_or_notes_refuses_the_start() {
    let pair = Pair::strangers();
    let refuses = |settings: &str, more: &[&str], why: &str| {
        pair.cloud.configure(&format!("[brain]\nkind = \"command\"\ncommand = [\"/bin/true\"]\n{settings}"));
        pair.cloud.refused(&[&["--role", "cloud"], more].concat()).assert(78, &[why]);
    };
    let around = "lies in the home or the vault, or around them";
    refuses("reads = [\"/\"]\n", &[], around);
    refuses(&format!("writes = [{:?}]\n", pair.cloud.vault.join("Plans")), &[], around);
    refuses("reads = [\"here\"]\n", &[], "`here` must be an absolute path");
    let other = pair.dir().join("other");
    refuses("", &["--vault", &other.to_string_lossy()], "programs of yours are kept out of the one there");
}

#[test]
fn a_line_under_each_drafted_mail_says_who_drafted_it() {
    let line = "Drafted with the help of an AI agent.";
    let pair = pair_with(&format!("kind = \"template\"\ndisclosure = \"{line}\"\n"));
    pair.cloud.drop_mail("1.eml", &mail(1));
    pair.wait("the draft arrives", |pair| pair.local.approvals_in("pending").len() == 1);
    let id = pair.local.approvals_in("pending").remove(0);
    let shown = pair.local.must(&["approvals", "show", &id]);
    assert!(shown.trim_end().contains(line) && shown.matches(line).count() == 1, "{shown}");
    let pair = Pair::strangers();
    pair.cloud.configure("[brain]\nkind = \"template\"\ndisclosure = \" \"\n");
    pair.cloud.refused(&["--role", "cloud"]).assert(78, &["`[brain] disclosure` is one line"]);
}

#[test]
fn a_brain_that_fails_is_one_note_that_the_person_sees_and_mails_come_in_meanwhile() {
    let pair = pair_with("kind = \"command\"\ncommand = [\"/bin/false\"]\n");
    for number in 0..3 {
        let mail = format!(
            "From: a@client.test\r\nTo: me@example.test\r\nMessage-ID: <{number}@client.test>\r\nSubject: {number}\r\n\r\nHello\r\n"
        );
        pair.cloud.drop_mail(&format!("{number}.eml"), mail.as_bytes());
    }
    let note = || pair.local.read("Signals/TROUBLE_cloud_brain.md").map(|note| text(&note)).unwrap_or_default();
    pair.wait("the person sees it", |_| note().contains("class: transient\n"));
    assert!(note().contains("the brain ended with an error"), "{}", note());
    pair.wait("the dashboard links it", |pair| {
        text(&pair.local.read("Dashboard.md").unwrap_or_default()).contains("[[Signals/TROUBLE_cloud_brain.md]]")
    });
    let tasks = pair.local.named("In_Progress/cloud", "EMAIL_", ".md").len()
        + pair.local.named("Needs_Action/email", "EMAIL_", ".md").len();
    assert_eq!(tasks, 3, "mails are taken up all the same");
}
