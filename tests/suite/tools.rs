//! MCP servers as hands: the tool that was signed is called once, by a program that sees little and is believed less.

use std::{
    fs,
    io::Write as _,
    net::TcpStream,
    path::PathBuf,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    deploy::skip,
    http::{self, Asked},
    node::{PATIENCE, Pair, all_processes, becomes, free_port, signal, text},
    smtp::{Behaviour, PASSWORD, Security, Server, USER},
};

const PASSPHRASE: &str = "a passphrase for tests";
const TOKEN: &str = "correct horse battery";
const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/suite/tool_server.py");

/// A mesh of a person whose executor may start servers, and a server that does as it is told.
struct Desk {
    pair: Pair,
    python: Python,
    passphrase: String,
    drafts: usize,
}

/// An interpreter, and what it needs to read.
pub(crate) struct Python {
    pub(crate) program: PathBuf,
    pub(crate) reads: Vec<PathBuf>,
}

impl Python {
    pub(crate) fn at(program: &std::ffi::OsStr) -> Self {
        let asked = "import sys; print(sys.executable, sys.prefix, sys.base_prefix, sep='\\n')";
        let output = Command::new(program).args(["-c", asked]).output().expect("python3 runs");
        let mut lines = text(&output.stdout).lines().map(PathBuf::from).collect::<Vec<_>>().into_iter();
        Self { program: lines.next().expect("its path"), reads: lines.collect() }
    }
}

impl Desk {
    fn open() -> Self {
        let mut pair = Pair::attended(PASSPHRASE);
        let passphrase = pair.dir().join("passphrase");
        fs::write(&passphrase, format!("{PASSPHRASE}\n")).expect("written");
        let passphrase = passphrase.to_string_lossy().into_owned();
        pair.pair(&["--passphrase-file", &passphrase]);
        fs::create_dir(pair.dir().join("stub")).expect("made");
        pair.local.start();
        let desk = Self { pair, python: Python::at("python3".as_ref()), passphrase, drafts: 0 };
        desk.does("as it should");
        desk
    }

    fn does(&self, how: &str) {
        fs::write(self.pair.dir().join("stub/how"), how).expect("told");
    }

    /// What the server was asked.
    fn asked(&self) -> Vec<Value> {
        self.noted().into_iter().filter(|noted| noted["called"].is_object()).collect()
    }

    fn noted(&self) -> Vec<Value> {
        let log = fs::read_to_string(self.pair.dir().join("stub/log")).unwrap_or_default();
        log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    fn store_token(&self) {
        self.store("token", TOKEN);
    }

    fn store(&self, name: &str, value: &str) {
        self.pair.local.store_secret(name, &["--passphrase-file", &self.passphrase], value);
    }

    fn declaration(&self, more: &str) -> String {
        let Python { program, reads } = &self.python;
        let (stub, home) = (self.pair.dir().join("stub"), &self.pair.local.home);
        let guarded =
            [home.join("executor/receipt.key"), home.join("keys/node.key"), home.join("executor/secrets/token")];
        let args = [PathBuf::from(SERVER), stub.join("how"), stub.join("log")];
        // The last can be read, or nothing would show that the others cannot.
        let args: Vec<_> = args.into_iter().chain(guarded).chain([PathBuf::from("/etc/passwd")]).collect();
        let suite = PathBuf::from(SERVER).parent().expect("a folder").to_owned();
        let reads: Vec<_> = reads.iter().cloned().chain([suite]).collect();
        format!(
            "[mcp.bank]\ncommand = {program:?}\nargs = {args:?}\nreads = {reads:?}\nwrites = [{stub:?}]\n\
             env = {{ TOKEN = \"${{secret:token}}\", MODE = \"test\" }}\ntimeout_s = 3\n{more}\n"
        )
    }

    fn declare(&self, more: &str) {
        let declaration = self.declaration(more);
        self.declares(declaration.strip_prefix("[mcp.bank]\n").expect("a table"));
    }

    /// Writes a declaration with the lines of `hands tools`, and signs it.
    fn declares(&self, table: &str) {
        let file = self.pair.dir().join("hands.toml");
        let declaration = format!("[mcp.bank]\n{table}\n");
        fs::write(&file, &declaration).expect("written");
        let file = file.to_string_lossy().into_owned();
        let tools = self.pair.local.must(&["hands", "tools", &file]);
        assert!(tools.starts_with("[mcp.bank.tools]\n# "), "{tools}");
        fs::write(&file, format!("{declaration}{tools}")).expect("written");
        self.pair.local.must(&["hands", "apply", &file, "--passphrase-file", &self.passphrase]);
    }

    /// A draft of a call; its ID once it waits.
    fn draft(&mut self, tool: &str, arguments: &str) -> String {
        self.drafts += 1;
        let path = format!("Pending_Approval/tool{}.md", self.drafts);
        let before: Vec<_> = self.pair.local.approvals().iter().map(|item| item["id"].clone()).collect();
        self.pair.local.save(&path, format!("---\naction: tool\nserver: bank\ntool: {tool}\n---\n\n{arguments}\n"));
        let new = |pair: &Pair| pair.local.approvals().into_iter().find(|item| !before.contains(&item["id"]));
        self.pair.wait("the draft waits", |pair| new(pair).is_some());
        new(&self.pair).expect("it waits")["id"].as_str().expect("an ID").to_owned()
    }

    fn approve(&self, id: &str) {
        self.pair.local.must(&["approvals", "approve", id, "--passphrase-file", &self.passphrase]);
    }

    /// How a call ends that is drafted and approved now, and what is told of it.
    fn called(&mut self, arguments: &str) -> (String, String) {
        let id = self.draft("pay", arguments);
        self.approve(&id);
        self.end_of(&id)
    }

    fn end_of(&self, id: &str) -> (String, String) {
        let of = |pair: &Pair| pair.local.approvals().into_iter().filter(|item| item["id"] == id).collect::<Vec<_>>();
        let ends = ["sent", "failed", "unknown"];
        let ended = |pair: &Pair| of(pair).into_iter().find(|item| ends.iter().any(|end| item["state"] == *end));
        self.pair.wait("it ends", |pair| ended(pair).is_some());
        let item = ended(&self.pair).expect("it ended");
        (item["state"].as_str().expect("a state").to_owned(), item.to_string())
    }
}

#[test]
fn a_tool_is_called_once_after_its_approval_and_sees_its_own_secret_alone() {
    let mut desk = Desk::open();
    desk.store_token();
    // What is not declared is told before anybody signs.
    let id = desk.draft("pay", "{\"amount\": 1}");
    desk.pair
        .local
        .refused(&["approvals", "approve", &id, "--passphrase-file", &desk.passphrase])
        .assert(1, &["no MCP server named `bank` is declared", "hands apply"]);
    desk.declare("");
    desk.approve(&id);
    let (state, told) = desk.end_of(&id);
    assert_eq!(state, "sent", "{told}");
    let asked = desk.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0]["called"], serde_json::json!({ "amount": 1 }));
    assert_eq!(asked[0]["secrets"], serde_json::json!(["/etc/passwd"]), "keys and credentials are behind a wall");
    let env: Vec<_> = asked[0]["env"].as_object().expect("variables").keys().cloned().collect();
    let known = ["HOME", "LANG", "LC_CTYPE", "MODE", "PATH", "PWD", "TMPDIR", "TOKEN"];
    assert!(env.iter().all(|name| known.contains(&name.as_str())), "{env:?}");
    assert_eq!(asked[0]["env"]["TOKEN"], TOKEN);
    // What it said back is kept without the secret, and the whole is filed.
    desk.pair.wait("it is filed", |pair| !pair.local.named("Done", "tool", ".md").is_empty());
    let audit = desk.pair.local.must(&["audit", "show"]);
    assert!(!audit.contains(TOKEN) && !told.contains(TOKEN), "{audit}");
    assert!(!desk.pair.local.log().contains(TOKEN), "nor in the log: {}", desk.pair.local.log());
    let id = desk.draft("pay", "{\"amount\": 100000000000000000001}");
    let refused = desk.pair.local.refused(&["approvals", "approve", &id, "--passphrase-file", &desk.passphrase]);
    refused.assert(1, &["the number 100000000000000000001 would arrive as another one"]);
    assert!(told.contains("made for ***"), "{told}");
    // One that was not allowed, and another version than the draft was made for.
    let id = desk.draft("refund", "{}");
    let refused = desk.pair.local.refused(&["approvals", "approve", &id, "--passphrase-file", &desk.passphrase]);
    refused.assert(1, &["`refund` of `bank` is not among those"]);
    let id = desk.draft(&format!("pay\nschema: {}", "ab".repeat(32)), "{\"amount\": 1}");
    let refused = desk.pair.local.refused(&["approvals", "approve", &id, "--passphrase-file", &desk.passphrase]);
    refused.assert(1, &["another version of the tool `pay`"]);
    assert_eq!(desk.asked().len(), 1);
}

#[test]
fn whatever_a_server_does_a_call_is_made_once_and_its_end_is_told_as_it_is_known() {
    let mut desk = Desk::open();
    desk.store_token();
    desk.declare("");
    for (how, state, words, asked) in [
        ("changed", "failed", "takes something else than when it was declared", 0),
        ("says error", "unknown", "it says that this is an error", 1),
        ("refuses", "unknown", "-32602", 1),
        ("asks again", "unknown", "which nobody gives", 1),
        ("asks a person", "unknown", "which nobody gives", 1),
        ("breaks", "unknown", "-32603", 1),
        ("dies", "unknown", "it ended, or said more than 8 MiB", 1),
        ("floods", "unknown", "it ended, or said more than 8 MiB", 1),
        ("hangs", "unknown", "no answer within 3 s", 1),
    ] {
        desk.does(how);
        let before = desk.asked().len();
        let (found, told) = desk.called(&format!("{{\"amount\": {}}}", desk.drafts));
        assert_eq!(found, state, "{how}: {told}");
        assert!(told.contains(words), "{how}: {told}");
        assert_eq!(desk.asked().len() - before, asked, "{how}");
    }
    desk.does("as it should");
    let before = desk.asked().len();
    let (state, told) = desk.called("{\"amount\": \"all of it\", \"more\": 1}");
    assert!(state == "failed" && told.contains("does not take these arguments"), "{told}");
    assert_eq!(desk.asked().len(), before, "what does not fit is not sent");
    // Where it does not start nothing was asked for, and it is tried again until the approval ends.
    desk.does("does not start");
    let id = desk.draft("pay", "{\"amount\": 77}");
    desk.approve(&id);
    let tried = |item: &Value| item["id"] == *id && item.to_string().contains("as an MCP server");
    desk.pair.wait("it is tried", |pair| pair.local.approvals().iter().any(tried));
    desk.does("as it should");
    let (state, told) = desk.end_of(&id);
    assert_eq!(state, "sent", "{told}");
    assert_eq!(desk.asked().len(), before + 1);
}

#[test]
fn a_call_that_is_frozen_or_declared_anew_before_it_is_made_is_not_made() {
    let mut desk = Desk::open();
    desk.store_token();
    desk.declare("");
    desk.does("starts slowly");
    let id = desk.draft("pay", "{\"amount\": 1}");
    desk.approve(&id);
    desk.pair.wait("the server is being started", |_| !desk.noted().is_empty());
    desk.pair.local.must(&["freeze"]);
    // Longer than it takes to start.
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(desk.asked(), [] as [Value; 0]);
    desk.does("as it should");
    desk.pair.local.must(&["unfreeze", "--passphrase-file", &desk.passphrase]);
    assert_eq!(desk.end_of(&id).0, "sent");
    assert_eq!(desk.asked().len(), 1);
    // What another declaration says was not approved.
    desk.does("does not start");
    let id = desk.draft("pay", "{\"amount\": 2}");
    desk.approve(&id);
    let tried = |item: &Value| item["id"] == *id && item.to_string().contains("as an MCP server");
    desk.pair.wait("it is tried", |pair| pair.local.approvals().iter().any(tried));
    desk.does("as it should");
    desk.declare("error_is_not_done = true");
    let (state, told) = desk.end_of(&id);
    assert!(state == "failed" && told.contains("declared anew after it was approved"), "{told}");
    assert_eq!(desk.asked().len(), 1);
    desk.does("says error");
    assert_eq!(desk.called("{\"amount\": 3}").0, "failed", "where that is declared to mean so");
}

#[test]
fn nothing_of_a_server_is_left_and_a_keeper_that_is_gone_is_replaced() {
    let mut desk = Desk::open();
    desk.store_token();
    desk.declare("");
    desk.does("leaves a child");
    assert_eq!(desk.called("{\"amount\": 1}").0, "sent");
    let runs = |words: &[&str]| {
        let line = |pid: &u32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        all_processes()
            .into_iter()
            .filter(|pid| words.iter().all(|word| text(&line(pid)).contains(word)))
            .collect::<Vec<_>>()
    };
    desk.pair.wait("what it started ends with it", |_| runs(&["617.25"]).is_empty());
    let home = desk.pair.local.home.to_string_lossy().into_owned();
    let keepers = || runs(&["program-keeper", &home]);
    let keeper = keepers();
    assert_eq!(keeper.len(), 1);
    signal(keeper[0], Signal::KILL);
    desk.does("as it should");
    assert_eq!(desk.called("{\"amount\": 2}").0, "sent", "another one was started");
    // The executor ends in the middle of a call: nothing of it goes on, and nobody knows.
    desk.does("hangs");
    let id = desk.draft("pay", "{\"amount\": 3}");
    desk.approve(&id);
    desk.pair.wait("it is called", |_| desk.asked().len() == 3);
    signal(desk.pair.local.processes()["executor"], Signal::KILL);
    assert_eq!(desk.end_of(&id).0, "unknown");
    desk.pair.wait("its server is gone", |_| runs(&["tool_server.py", &home]).is_empty());
    assert_eq!(desk.asked().len(), 3, "nor is it called again");
    desk.pair.local.stop();
    assert_eq!(keepers(), [] as [u32; 0]);
}

#[test]
fn a_dry_run_starts_nothing_and_an_unattended_mesh_starts_no_program() {
    let mut desk = Desk::open();
    desk.store_token();
    desk.declare("dry_run = true");
    let (state, told) = desk.called("{\"amount\": 5}");
    assert!(state == "sent" && told.contains("dry run, nothing was started: pay of bank with {"), "{told}");
    assert_eq!(desk.asked(), [] as [Value; 0]);
    let pair = Pair::running();
    let file = pair.dir().join("hands.toml");
    fs::write(&file, "[mcp.bank]\ncommand = \"/bin/true\"\n[mcp.bank.tools]\npay = \"0\"\n").expect("written");
    let file = file.to_string_lossy().into_owned();
    pair.local.refused(&["hands", "apply", &file]).assert(1, &["tools.pay is the digest", "hands tools"]);
    fs::write(&file, "[mcp.bank]\ncommand = \"true\"\n").expect("written");
    pair.local.refused(&["hands", "apply", &file]).assert(1, &["absolute path", "command -v true"]);
    let digest = "0".repeat(64);
    fs::write(&file, format!("[mcp.bank]\ncommand = \"/bin/true\"\n[mcp.bank.tools]\npay = \"{digest}\"\n"))
        .expect("written");
    pair.local.must(&["hands", "apply", &file]);
    pair.local.save("Pending_Approval/tool.md", "---\naction: tool\nserver: bank\ntool: pay\n---\n\n{}\n");
    pair.wait("the draft waits", |pair| pair.local.approvals_in("pending").len() == 1);
    let id = pair.local.approvals_in("pending").remove(0);
    pair.local
        .refused(&["approvals", "approve", &id])
        .assert(1, &["unattended", "no program and no other machine acts for it"]);
    pair.local.refused(&["hands", "tools", &file]).assert(1, &["does not answer as an MCP server"]);
}

#[test]
fn a_real_server_of_others_tells_the_time_after_an_approval() {
    let Some(python) = std::env::var_os("AIEMP_TEST_PYTHON") else {
        return skip("AIEMP_TEST_PYTHON is not set, so no MCP server of others was called");
    };
    let mut desk = Desk::open();
    let Python { program, reads } = Python::at(&python);
    desk.declares(&format!("command = {program:?}\nargs = [\"-m\", \"mcp_server_time\"]\nreads = {reads:?}\n"));
    let arguments = r#"{"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}"#;
    let id = desk.draft("convert_time", arguments);
    desk.approve(&id);
    let (state, told) = desk.end_of(&id);
    assert_eq!(state, "sent", "{told}");
    assert!(told.contains("21:00"), "{told}");
}

#[test]
fn a_real_mail_server_of_others_sends_one_mail_after_an_approval() {
    if std::env::var_os("AIEMP_TEST_ALL").is_none() {
        return skip("mcp-email-server is installed and sends a mail by `./test.sh --all`");
    }
    let mut desk = Desk::open();
    let venv = desk.pair.dir().join("venv");
    let installed =
        Command::new("python3").arg("-m").arg("venv").arg(&venv).status().is_ok_and(|status| status.success())
            && Command::new(venv.join("bin/pip"))
                .args(["install", "--quiet", "mcp-email-server==1.13.3"])
                .status()
                .is_ok_and(|status| status.success());
    let Some(mut server) = Server::in_folder(desk.pair.dir(), Security::Starttls).filter(|_| installed) else {
        return skip("mcp-email-server could not be installed, so it sent nothing");
    };
    server.start(Behaviour::Accept);
    desk.store("mailbox", PASSWORD);
    let Python { reads, .. } = Python::at(venv.join("bin/python").as_os_str());
    let port = server.port;
    desk.declares(&format!(
        "command = {:?}\nargs = [\"stdio\"]\nreads = {reads:?}\ntimeout_s = 60\n\
         [mcp.bank.env]\nMCP_EMAIL_SERVER_EMAIL_ADDRESS = \"{USER}\"\nMCP_EMAIL_SERVER_USER_NAME = \"{USER}\"\n\
         MCP_EMAIL_SERVER_PASSWORD = \"${{secret:mailbox}}\"\nMCP_EMAIL_SERVER_SMTP_HOST = \"localhost\"\n\
         MCP_EMAIL_SERVER_SMTP_PORT = \"{port}\"\nMCP_EMAIL_SERVER_SMTP_SSL = \"false\"\n\
         MCP_EMAIL_SERVER_SMTP_START_SSL = \"true\"\nMCP_EMAIL_SERVER_SMTP_VERIFY_SSL = \"false\"\n\
         MCP_EMAIL_SERVER_IMAP_HOST = \"localhost\"\nMCP_EMAIL_SERVER_SAVE_TO_SENT = \"false\"\n\
         MCP_EMAIL_SERVER_ALLOWED_RECIPIENTS = \"*\"\n",
        venv.join("bin/mcp-email-server")
    ));
    let arguments =
        r#"{"account_name": "default", "recipients": ["ann@client.test"], "subject": "Offer", "body": "Hello"}"#;
    let id = desk.draft("send_email", arguments);
    desk.approve(&id);
    let (state, told) = desk.end_of(&id);
    assert_eq!(state, "sent", "{told}");
    let mails = server.mails();
    assert_eq!(mails.len(), 1, "{mails:?}");
    assert!(mails[0].to_string().contains("ann@client.test") && mails[0].to_string().contains("Offer"), "{mails:?}");
}

#[test]
fn the_reference_server_of_the_protocol_is_called_after_an_approval() {
    if std::env::var_os("AIEMP_TEST_ALL").is_none() {
        return skip("@modelcontextprotocol/server-everything is installed and called by `./test.sh --all`");
    }
    let mut desk = Desk::open();
    let folder = desk.pair.dir().join("everything");
    fs::create_dir(&folder).expect("made");
    let package = "@modelcontextprotocol/server-everything@2026.8.31";
    let install = ["install", "--no-audit", "--no-fund", "--silent", package];
    let installed =
        Command::new("npm").args(install).current_dir(&folder).status().is_ok_and(|status| status.success());
    let node = Command::new("node").args(["-p", "process.execPath"]).output().map(|output| text(&output.stdout));
    let Some(node) = node.ok().filter(|_| installed) else {
        return skip("npm could not install server-everything, so it was not called");
    };
    let program = folder.join("node_modules/@modelcontextprotocol/server-everything/dist/index.js");
    desk.declares(&format!("command = {:?}\nargs = [{program:?}, \"stdio\"]\nreads = [{folder:?}]\n", node.trim()));
    let id = desk.draft("echo", "{\"message\": \"four words that return\"}");
    desk.approve(&id);
    let (state, told) = desk.end_of(&id);
    assert!(state == "sent" && told.contains("four words that return"), "{told}");
}

/// A service that is ended with the test.
struct Served(std::process::Child);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

const SERVICE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/suite/tool_service.py");

#[test]
fn a_server_over_http_is_called_once_after_an_approval_with_its_token_alone() {
    let Some(python) = std::env::var_os("AIEMP_TEST_PYTHON") else {
        return skip("AIEMP_TEST_PYTHON is not set, so no MCP server over HTTP was called");
    };
    let mut desk = Desk::open();
    let (port, log) = (free_port(), desk.pair.dir().join("paid"));
    let mut command = Command::new(python);
    command.arg(SERVICE).arg(port.to_string()).arg(&log).stdout(Stdio::null()).stderr(Stdio::null());
    let _service = Served(command.spawn().expect("it starts"));
    assert!(becomes(PATIENCE, || TcpStream::connect(("127.0.0.1", port)).is_ok()), "the service does not listen");
    let table = |more: &str| format!("url = \"http://127.0.0.1:{port}/mcp\"\ntimeout_s = 5\n{more}");
    // Without its token nobody answers, and the person is told so before anything is signed.
    let file = desk.pair.dir().join("hands.toml");
    fs::write(&file, format!("[mcp.bank]\n{}", table(""))).expect("written");
    let output = desk.pair.local.run(&["hands", "tools", &file.to_string_lossy()]);
    assert!(!output.status.success() && text(&output.stderr).contains("it answered 401"), "{}", text(&output.stderr));
    desk.store_token();
    desk.declares(&table("headers = { Authorization = \"Bearer ${secret:token}\" }"));
    let (state, told) = desk.called(r#"{"to": "Ann", "cents": 500}"#);
    assert!(state == "sent" && told.contains("\"bank: pay: paid 500 to Ann\""), "{state}: {told}");
    assert_eq!(fs::read_to_string(&log).expect("it was called"), "paid 500 to Ann\n");
    // What does not fit its schema is not asked for; what it calls an error is nobody's to know.
    let (state, told) = desk.called(r#"{"to": "Ann", "cents": "a lot"}"#);
    assert!(state == "failed" && told.contains("does not take these arguments"), "{state}: {told}");
    let id = desk.draft("fail", "{}");
    desk.approve(&id);
    let (state, told) = desk.end_of(&id);
    assert!(state == "unknown" && told.contains("it says that this is an error"), "{state}: {told}");
    assert_eq!(fs::read_to_string(&log).expect("it was called").lines().count(), 1);
    let local = desk.pair.local.log();
    assert!(!local.contains(TOKEN), "{local}");
}

/// Answers each POST with what its method has, and notes the calls.
pub(crate) fn lying_service(answer_to_call: &'static str) -> (u16, Arc<Mutex<Vec<String>>>) {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let heard = calls.clone();
    let port = http::serve(move |asked, stream| answer(asked, stream, answer_to_call, &heard));
    (port, calls)
}

fn answer(asked: &Asked, stream: &mut TcpStream, answer_to_call: &str, calls: &Mutex<Vec<String>>) {
    let message: Value = serde_json::from_str(&asked.body).unwrap_or_default();
    let result = |result: &str| {
        http::json("200 OK", &format!("{{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{result}}}", message["id"]))
    };
    let answer = match message["method"].as_str() {
        Some("initialize") => result(
            r#"{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"x","version":"1"}}"#,
        ),
        Some("tools/list") => result(r#"{"tools":[{"name":"pay","inputSchema":{"type":"object","properties":{}}}]}"#),
        Some("tools/call") => {
            calls.lock().expect("one at a time").push(asked.head.clone());
            answer_to_call.replace("ID", &message["id"].to_string())
        }
        Some(_) | None => "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned(),
    };
    if answer == "flood" {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: ").ok();
        while stream.write_all(&[b'x'; 65_536]).is_ok() {}
        return;
    }
    if answer == "newlines" {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n").ok();
        stream.write_all(&vec![b'\n'; 7 << 20]).ok();
        std::thread::sleep(Duration::from_secs(20));
        return;
    }
    stream.write_all(answer.as_bytes()).ok();
    if answer.is_empty() {
        std::thread::sleep(Duration::from_secs(20));
    }
}

#[test]
fn a_service_that_lies_hangs_floods_or_points_elsewhere_is_asked_once_and_believed_in_nothing() {
    let redirect =
        "HTTP/1.1 307 Moved\r\nlocation: http://127.0.0.1:1/mcp\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let events = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    let broken: &'static str = Box::leak(format!("{events}data: {{\"jsonrpc\":\r\n\r\n").into_boxed_str());
    let cut: &'static str = Box::leak(format!("{events}data: half").into_boxed_str());
    let other: &'static str = Box::leak(
        format!("{events}data: {{\"jsonrpc\":\"2.0\",\"id\":\"other\",\"result\":{{\"content\":[]}}}}\n\n")
            .into_boxed_str(),
    );
    let accepted = "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let mut desk = Desk::open();
    for (answer, why) in [
        (redirect, "points to another address"),
        ("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", "it answered 500"),
        (
            "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok",
            "neither JSON",
        ),
        ("flood", "said more than 8 MiB"),
        (broken, "no JSON"),
        (cut, "ended its answer before"),
        (other, "ended its answer before"),
        ("newlines", "no answer within"),
        (accepted, "202, which answers nothing"),
        ("", "no answer"),
    ] {
        let (port, calls) = lying_service(answer);
        desk.declares(&format!("url = \"http://127.0.0.1:{port}/mcp\"\ntimeout_s = 2\n"));
        let (state, told) = desk.called("{}");
        assert!(state == "unknown" && told.contains(why), "{why}: {state}: {told}");
        assert_eq!(calls.lock().expect("one at a time").len(), 1, "{why}");
    }
}
