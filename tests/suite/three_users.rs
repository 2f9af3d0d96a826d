//! A Local home that three users share: it works, and none of them gets at what is another's.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use aiemp_keys::Signer;
use aiemp_node::{home::Home, shell};
use aiemp_protocol::{
    freeze::{Brake, FreezeRecord},
    limits::FREEZE_AHEAD_MAX,
};
use data_encoding::HEXLOWER;
use rustix::process::{Signal, getuid};
use serde_json::Value;

use crate::{
    deploy::skip,
    node::{PATIENCE, Pair, becomes, binary, signal, text},
    tools::lying_service,
};

const MESH: u32 = 64_101;
const EXECUTOR: u32 = 64_102;
const PERSON: u32 = 64_103;
const GROUP: u32 = 64_104;
const STRANGER: u32 = 64_105;

/// A mesh of two whose Local home was given to three users. Local's processes are started one by one.
struct Separated {
    pair: Pair,
    running: BTreeMap<&'static str, Child>,
    program: PathBuf,
}

impl Separated {
    /// None where the test may not become other users.
    fn new() -> Option<Self> {
        let separated = Self::one_user()?;
        separated.separate();
        Some(separated)
    }

    /// Before the home is given to three.
    fn one_user() -> Option<Self> {
        if !getuid().is_root() || Command::new("setpriv").arg("--version").output().is_err() {
            skip("only root with `setpriv` can become three users, so none of them attacked another");
            return None;
        }
        let pair = Pair::paired();
        fs::set_permissions(pair.dir(), fs::Permissions::from_mode(0o711)).expect("users may pass");
        // The other users may not get to where it was built.
        let program = pair.dir().join("aiemp-node");
        fs::hard_link(binary(), &program).or_else(|_| fs::copy(binary(), &program).map(drop)).expect("a copy");
        Some(Self { pair, running: BTreeMap::new(), program })
    }

    fn separate(&self) {
        let ids = [MESH, EXECUTOR, PERSON].map(|id| format!("{id}:{id}"));
        let group = GROUP.to_string();
        let [mesh, executor, person] = &ids;
        let users = ["--person", person, "--mesh-user", mesh, "--executor-user", executor, "--group", &group];
        self.pair.local.must(&[&["service", "separate"][..], &users].concat());
    }

    fn home(&self) -> &Path {
        &self.pair.local.home
    }

    /// A program run as one of the users, with the groups that the installation gives it.
    fn command_as(&self, user: u32, program: &Path) -> Command {
        let groups = match user {
            PERSON => format!("{PERSON},{GROUP},{MESH}"),
            MESH | EXECUTOR => format!("{user},{GROUP}"),
            other => other.to_string(),
        };
        let user = user.to_string();
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &user, "--regid", &user, "--groups", &groups, "--"]).arg(program);
        command.stdin(Stdio::null()).env_remove("AIEMP_LOG");
        command
    }

    fn node_as(&self, user: u32, args: &[&str]) -> Output {
        let mut command = self.command_as(user, &self.program);
        command.arg("--home").arg(self.home()).args(args).output().expect("setpriv runs")
    }

    fn must_as(&self, user: u32, args: &[&str]) -> String {
        let output = self.node_as(user, args);
        assert!(output.status.success(), "{user} {args:?}: {}{}", text(&output.stderr), self.last_words());
        text(&output.stdout).trim().to_owned()
    }

    fn shell_as(&self, user: u32, script: &str) -> bool {
        let mut command = self.command_as(user, Path::new("/bin/sh"));
        command.args(["-c", script]).stderr(Stdio::null()).current_dir("/").status().expect("a shell runs").success()
    }

    fn log(&self, process: &str) -> String {
        text(&fs::read(self.pair.dir().join(format!("{process}-log"))).unwrap_or_default())
    }

    fn last_words(&self) -> String {
        ["mesh", "executor", "senses"].map(|process| format!("\n--- {process}\n{}", self.log(process))).concat()
    }

    fn start(&mut self, process: &'static str, user: u32) {
        let log = self.pair.dir().join(format!("{process}-log"));
        let log = OpenOptions::new().create(true).append(true).open(log).expect("a log");
        let mut command = self.command_as(user, &self.program);
        command.arg("--home").arg(self.home()).args(["process", process]).stdout(Stdio::null()).stderr(log);
        self.running.insert(process, command.spawn().expect("setpriv runs"));
    }

    fn start_both(&mut self) {
        self.start("mesh", MESH);
        self.start("executor", EXECUTOR);
        let up = becomes(PATIENCE, || {
            self.log("mesh").lines().any(|line| line == "ready") && self.log("executor").contains("executor started")
        });
        assert!(up, "both run{}", self.last_words());
    }

    fn stop(&mut self, process: &str) {
        let Some(mut child) = self.running.remove(process) else { return };
        signal(child.id(), Signal::TERM);
        if !becomes(PATIENCE, || child.try_wait().is_ok_and(|ended| ended.is_some())) {
            child.kill().ok();
        }
        child.wait().ok();
    }

    fn pid(&self, process: &str) -> u32 {
        self.running[process].id()
    }

    fn wait(&self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let is_done = becomes(PATIENCE, || done(self));
        assert!(is_done, "{what}: not within {PATIENCE:?}{}{}", self.pair.cloud.last_words(), self.last_words());
    }

    /// IDs of drafts in a state, as the person sees them.
    fn approvals_in(&self, state: &str) -> Vec<String> {
        let listed: Value =
            serde_json::from_str(&self.must_as(PERSON, &["approvals", "list", "--json"])).expect("JSON");
        let items = listed["items"].as_array().cloned().expect("items");
        let wanted = items.into_iter().filter(|item| item["state"] == state);
        wanted.map(|item| item["id"].as_str().expect("an ID").to_owned()).collect()
    }
}

impl Drop for Separated {
    fn drop(&mut self) {
        for process in ["mesh", "executor", "senses"] {
            self.stop(process);
        }
    }
}

const MAIL: &[u8] = b"From: a@client.test\r\nTo: me@example.test\r\nSubject: order\r\n\r\nHello\r\n";

#[test]
fn three_users_draft_approve_send_once_and_file() {
    let Some(mut three) = Separated::new() else { return };
    three.start_both();
    three.pair.cloud.drop_mail("order.eml", MAIL);
    three.wait("the draft arrives", |three| !three.approvals_in("pending").is_empty());
    let id = three.approvals_in("pending").remove(0);
    three.must_as(PERSON, &["approvals", "show", &id]);
    three.must_as(PERSON, &["approvals", "approve", &id]);
    three.wait("it is sent and filed", |three| !three.pair.local.named("Done/email", "", ".md").is_empty());
    assert_eq!(three.pair.local.outbox().len(), 1);
    let mail = fs::read_dir(three.home().join("outbox/new")).expect("an outbox").flatten().next().expect("a mail");
    assert!(three.shell_as(PERSON, &format!("cat {} >/dev/null", mail.path().display())), "the person reads what went");
    assert_eq!(fs::read_dir(three.home().join("approved")).expect("a folder").count(), 0, "taken out by the executor");
    // The person stops everything and lets it go on, without root.
    three.must_as(PERSON, &["freeze"]);
    three.wait("the executor stops", |three| three.log("executor").contains("was frozen"));
    three.must_as(PERSON, &["unfreeze"]);
    three.wait("the executor goes on", |three| three.log("executor").contains("let go on"));
    for args in [&["peers", "renew"][..], &["peers", "show", "cloud"], &["status"], &["conflicts"], &["policy", "show"]]
    {
        three.must_as(PERSON, args);
    }
}

#[test]
fn notes_go_both_ways_between_an_editor_of_the_person_and_the_mesh() {
    let Some(mut three) = Separated::new() else { return };
    three.start_both();
    let vault = three.pair.local.vault.clone();
    let edit = |script: &str| three.shell_as(PERSON, &format!("umask 022; cd {} && {script}", vault.display()));
    assert!(edit("mkdir -p Plans/mine && echo mine > Plans/mine/a.md"));
    three.wait("Cloud has it", |three| three.pair.cloud.read("Plans/mine/a.md").is_some());
    three.pair.cloud.save("Plans/mine/a.md", "mine\nand Cloud's\n");
    three.pair.cloud.save("Plans/mine/b.md", "Cloud's\n");
    let arrived = |path: &str, part: &str| three.pair.local.read(path).is_some_and(|bytes| text(&bytes).contains(part));
    three.wait("Cloud's edit of it arrives", |_| arrived("Plans/mine/a.md", "and Cloud's"));
    three.wait("Cloud's note arrives beside it", |_| arrived("Plans/mine/b.md", "Cloud's"));
    assert!(edit("echo again >> Plans/mine/a.md && echo mine >> Plans/mine/b.md"), "in place, as editors save");
    for name in ["a.md", "b.md"] {
        let path = format!("Plans/mine/{name}");
        let here = three.pair.local.read(&path);
        three.wait("Cloud has the edit", |three| three.pair.cloud.read(&path) == here);
    }
}

/// What each user can do where no kernel's wall stands; everything else that is tried has to be stopped.
const NOT_STOPPED: [(&str, u32, &[&str]); 3] = [
    (
        "mesh",
        MESH,
        &[
            "ask the mesh over the control socket",
            "connect to a TCP port of its choice",
            "listen on a TCP port",
            "make a set-uid file in its own folder",
            "open a netlink socket",
            "reach an abstract socket",
            "read a file elsewhere",
            "read a note of the vault",
            "read the mesh's store",
            "read the node key",
            "run a shell",
            "send by UDP, as a name lookup does",
            "write into freeze/",
            "write into roster/",
            "write into the mesh's files",
            "write into the vault",
        ],
    ),
    (
        "executor",
        EXECUTOR,
        &[
            "change the audit log of the executor",
            "connect to a TCP port of its choice",
            "listen on a TCP port",
            "make a set-uid file in its own folder",
            "open a netlink socket",
            "reach an abstract socket",
            "read a file elsewhere",
            "read a service credential",
            "read the executor's journal",
            "read the key that signs receipts",
            "run a shell",
            "send by UDP, as a name lookup does",
            "write into approved/",
            "write into executor/",
            "write into receipts/",
        ],
    ),
    (
        "person",
        PERSON,
        &[
            "ask the mesh over the control socket",
            "connect to a TCP port of its choice",
            "hard-link a key into the vault",
            "listen on a TCP port",
            "make a set-uid file in its own folder",
            "open a netlink socket",
            "reach an abstract socket",
            "read a file elsewhere",
            "read a note of the vault",
            "read the mesh's store",
            "read the node key",
            "read the owner's keys as they lie on disk",
            "run a shell",
            "send by UDP, as a name lookup does",
            "write into approved/",
            "write into freeze/",
            "write into roster/",
            "write into the mesh's files",
            "write into the vault",
            "write where the root key remembers",
        ],
    ),
];

#[test]
fn each_of_three_users_is_stopped_from_what_is_anothers() {
    let Some(mut three) = Separated::new() else { return };
    // Root stores what the executor uses.
    three.pair.local.store_secret("smtp-password", &[], "correct horse battery\n");
    three.start_both();
    for (user, uid, not_stopped) in NOT_STOPPED {
        let sibling = three.pid(if uid == EXECUTOR { "mesh" } else { "executor" }).to_string();
        let tried = three.node_as(uid, &["process", "probe", "--wall", "none", "--sibling", &sibling]);
        let said = text(&tried.stderr);
        let tried: Vec<Value> = serde_json::from_slice(&tried.stdout).unwrap_or_else(|_| panic!("{user}: {said}"));
        for attack in &tried {
            assert_eq!(attack["expected"], attack["got"], "{user}: {}", attack["attack"]);
        }
        let through = tried.iter().filter(|tried| tried["got"] == "not stopped");
        let mut through: Vec<_> = through.map(|tried| tried["attack"].as_str().expect("a name")).collect();
        through.sort_unstable();
        assert_eq!(through, not_stopped, "{user}");
    }
    // Whoever has no part in the home does not get into it.
    assert_eq!(three.node_as(STRANGER, &["status"]).status.code(), Some(78));
    let home = three.home().display();
    for place in ["", "/config.toml", "/users", "/roster/chain", "/run/control.sock", "/receipts", "/outbox"] {
        assert!(!three.shell_as(STRANGER, &format!("ls {home}{place}")), "{place}");
    }
    for walls in [three.must_as(PERSON, &["doctor", "--json"]), three.pair.local.must(&["doctor", "--json"])] {
        let doctor: Value = serde_json::from_str(&walls).expect("JSON");
        let users = doctor["walls"].as_array().expect("walls").iter().find(|wall| wall["wall"] == "users").cloned();
        assert_eq!(users.expect("the users' wall")["stands"], true);
    }
}

#[test]
fn a_file_that_another_user_put_there_is_refused() {
    let Some(mut three) = Separated::new() else { return };
    let approved = three.home().join("approved");
    // One that got into the executor signs nothing, and does not even count as the person's hand.
    assert!(three.shell_as(EXECUTOR, &format!("echo x > {}/a.policy", approved.display())));
    three.start("executor", EXECUTOR);
    let refused = three.home().join("executor/refused/a.policy");
    three.wait("it is set aside", |_| refused.exists());
    let told = three.log("executor");
    assert!(told.contains("not_private") && told.contains(&format!("chown {PERSON}")), "{told}");
    three.stop("executor");
    // Settings say where mail goes with whose password.
    let config = three.home().join("config.toml");
    for (owner, mode, told) in [(PERSON, 0o640, "belongs to uid"), (0, 0o660, "open to other users")] {
        chown(&config, Some(owner), Some(GROUP)).expect("root gives it away");
        fs::set_permissions(&config, fs::Permissions::from_mode(mode)).expect("root opens it");
        let output = three.node_as(EXECUTOR, &["process", "executor"]);
        assert!(!output.status.success() && text(&output.stderr).contains(told), "{}", text(&output.stderr));
    }
    three.separate();
    assert_eq!(fs::metadata(&config).expect("settings").uid(), 0, "separating again puts it right");
}

#[test]
fn a_process_of_another_user_and_a_home_in_a_persons_hands_are_refused() {
    let Some(three) = Separated::new() else { return };
    for (process, user) in [("mesh", PERSON), ("executor", PERSON), ("executor", MESH), ("mesh", EXECUTOR)] {
        let output = three.node_as(user, &["process", process]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{process} as {user}: {said}");
        assert!(said.contains("runs as uid") && said.contains("Three users"), "{said}");
    }
    three.pair.local.refused(&["--role", "local"]).assert(78, &["three users", "Three users"]);
    let not_root = three.node_as(PERSON, &["service", "separate", "--person", "1:1"]);
    assert!(text(&not_root.stderr).contains("Run it with sudo"), "{}", text(&not_root.stderr));
    let users = ["--mesh-user", "1:1", "--executor-user", "1:1", "--group", "9", "--person", "3:3"];
    let local = &three.pair.local;
    local.refused(&[&["service", "separate"][..], &users].concat()).assert(78, &["three different ones"]);
    let unknown = ["service", "separate", "--person", "nobody-of-this-name"];
    local.refused(&unknown).assert(1, &["there is no user or group", "Three users"]);
    three.pair.cloud.refused(&["service", "separate", "--person", "3:3"]).assert(78, &["no Local home"]);
    // The users file is root's word: where others could have written it, nothing is believed.
    chown(three.home().join("users"), Some(PERSON), None).expect("given away");
    local.refused(&["status"]).assert(78, &["belongs to others than root"]);
}

/// Where the person may not read what the executor knows of the brake.
#[test]
fn a_freeze_counts_though_the_mesh_took_the_lift_before_it_away() {
    let Some(mut three) = Separated::new() else { return };
    three.start("executor", EXECUTOR);
    let seed = fs::read(three.home().join("keys/node.key")).expect("the node key");
    let seed = HEXLOWER.decode(seed.trim_ascii_end()).expect("hex");
    let signer = Signer::from_seed(seed.try_into().expect("a seed"));
    let home = Home::at(three.home());
    let mesh = shell::rosters::load(&home).expect("readable").expect("a roster").current().mesh;
    // What a mesh process that was taken over can sign, as late as it will be lifted without a further word.
    let at = shell::clock::now() + FREEZE_AHEAD_MAX;
    let record = FreezeRecord { brake: Brake::Frozen, node: signer.node_id(), at };
    let planted = home.freezes().join(format!("{}-frozen.freeze", signer.node_id()));
    fs::write(&planted, record.sign(&signer, mesh)).expect("written");
    chown(&planted, Some(MESH), Some(MESH)).expect("the mesh's");
    let times = |three: &Separated, word: &str| three.log("executor").matches(word).count();
    three.wait("the executor stops", |three| times(three, "was frozen") == 1);
    three.must_as(PERSON, &["unfreeze"]);
    three.wait("the executor goes on", |three| times(three, "let go on") == 1);
    assert!(three.shell_as(MESH, &format!("rm {}/*", home.freezes().display())), "the mesh forgets");
    three.must_as(PERSON, &["freeze"]);
    three.wait("the executor stops again", |three| times(three, "was frozen") == 2);
}

#[test]
fn what_a_program_had_open_before_is_not_what_is_used_afterwards() {
    let Some(mut three) = Separated::one_user() else { return };
    let home = three.home().to_owned();
    assert!(
        Command::new("chown").args(["-R", &format!("{PERSON}:{PERSON}")]).arg(&home).status().expect("chown").success()
    );
    let files = [
        ("config.toml", 0),
        ("receipt.pub", 0),
        ("roster/chain", MESH),
        ("mesh/name", MESH),
        ("executor/root.pub", EXECUTOR),
        ("executor/receipt.key", EXECUTOR),
    ];
    let open = |name: &str| OpenOptions::new().read(true).write(true).open(home.join(name)).expect("it opens");
    let kept: Vec<_> =
        files.iter().map(|(name, _)| (open(name), fs::read(home.join(name)).expect("readable"))).collect();
    // What a run that was interrupted left.
    fs::write(home.join("executor/.aiemp-given"), "half").expect("written");
    three.separate();
    for ((name, owner), (mut file, before)) in files.iter().zip(kept) {
        file.write_all(b"what a program of the person writes").expect("it is open");
        let path = home.join(name);
        assert_eq!(fs::read(&path).expect("readable"), before, "{name}");
        assert_eq!(fs::metadata(&path).expect("there").uid(), *owner, "{name}");
    }
    assert!(!home.join("executor/.aiemp-given").exists());
    let inode = |name: &str| fs::metadata(home.join(name)).expect("there").ino();
    let first: Vec<_> = files.iter().map(|(name, _)| inode(name)).collect();
    three.separate();
    assert_eq!(files.map(|(name, _)| inode(name)).to_vec(), first, "what has its owner is not copied again");
    three.start_both();
}

#[test]
fn with_three_users_senses_run_as_the_person_and_servers_as_the_executor() {
    let Some(mut three) = Separated::one_user() else { return };
    let drops = three.pair.dir().join("drops");
    fs::create_dir(&drops).expect("made");
    three.pair.local.configure(&format!("[[drop]]\ndir = {drops:?}\n"));
    three.separate();
    chown(&drops, Some(PERSON), Some(PERSON)).expect("given");
    three.start_both();
    let refused = three.node_as(EXECUTOR, &["process", "senses"]);
    assert_eq!(refused.status.code(), Some(78), "{}", text(&refused.stderr));
    three.start("senses", PERSON);
    assert!(three.shell_as(PERSON, &format!("echo hello > {}", drops.join("a.txt").display())));
    three.wait("the file is a task", |three| {
        !three.pair.local.named("Needs_Action/files", "FILE_a_", ".txt.md").is_empty()
    });
    // A program, as the executor's user; and a service that is called after an approval.
    let server = three.pair.dir().join("server.py");
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/suite/tool_server.py"), &server).expect("copied");
    let (how, log) = (three.pair.dir().join("how"), three.pair.dir().join("log"));
    fs::write(&how, "as it should").expect("written");
    fs::write(&log, "").expect("written");
    fs::set_permissions(&log, fs::Permissions::from_mode(0o666)).expect("anybody's");
    let file = three.pair.dir().join("hands.toml");
    let program = format!(
        "[mcp.files]\ncommand = \"/usr/bin/python3\"\nargs = [{server:?}, {how:?}, {log:?}]\nreads = [{how:?}]\nwrites = [{log:?}]\n"
    );
    fs::write(&file, &program).expect("written");
    let tools = ["hands", "tools", &file.to_string_lossy()].map(str::to_owned);
    let tools = tools.each_ref().map(String::as_str);
    let refused = three.node_as(PERSON, &tools);
    assert_eq!(refused.status.code(), Some(78), "{}", text(&refused.stderr));
    let lines = three.must_as(EXECUTOR, &tools);
    assert!(lines.starts_with("[mcp.files.tools]\n"), "{lines}");
    let (port, calls) = lying_service(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n\
         data: {\"jsonrpc\":\"2.0\",\"id\":ID,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"it is done\"}]}}\n\n",
    );
    let service = format!("[mcp.bank]\nurl = \"http://127.0.0.1:{port}/mcp\"\n");
    fs::write(&file, &service).expect("written");
    let lines = three.must_as(EXECUTOR, &tools);
    fs::write(&file, format!("{service}{lines}\n")).expect("written");
    three.must_as(PERSON, &["hands", "apply", &file.to_string_lossy()]);
    let draft = "---\naction: tool\nserver: bank\ntool: pay\n---\n\n{}\n";
    three.pair.local.save("Pending_Approval/tool.md", draft);
    three.wait("the draft waits", |three| !three.approvals_in("pending").is_empty());
    let id = three.approvals_in("pending").remove(0);
    // It ended, to be started again behind a wall with the port, as its unit does.
    three.stop("executor");
    three.start("executor", EXECUTOR);
    three.must_as(PERSON, &["approvals", "approve", &id]);
    three.wait("it is called", |three| three.approvals_in("sent").len() == 1);
    assert_eq!(calls.lock().expect("one at a time").len(), 1);
}
