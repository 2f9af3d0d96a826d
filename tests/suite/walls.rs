//! Attackers inside each wall of a running Local node, and beside them.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
};

use serde_json::{Value, json};

use crate::{
    deploy::skip,
    node::{Node, PATIENCE, Pair, text},
};

/// Lets an attacker behind a wall try everything; what was expected and what came of it, by attack.
fn attacked(node: &Node, wall: &str) -> BTreeMap<String, (String, String)> {
    let executor = node.processes()["executor"].to_string();
    let output = node.run(&["process", "probe", "--wall", wall, "--sibling", &executor]);
    let tried: Vec<Value> =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    let word = |tried: &Value, key: &str| tried[key].as_str().expect("a word").to_owned();
    let of = |tried: &Value| (word(tried, "attack"), (word(tried, "expected"), word(tried, "got")));
    tried.iter().map(of).collect()
}

fn local_with_a_secret() -> Pair {
    let mut pair = Pair::paired();
    pair.local.store_secret("smtp-password", &[], "correct horse battery\n");
    pair.local.start();
    pair.wait("both run", |pair| pair.local.processes().len() == 2);
    pair
}

/// What a whole set of walls lets each attacker do; everything else that is tried has to be stopped.
const NOT_STOPPED: [(&str, &[&str]); 6] = [
    ("decoder", &[]),
    (
        "mesh",
        &[
            "connect to a TCP port of its choice",
            "listen on a TCP port",
            "open a netlink socket",
            "read a note of the vault",
            "read the mesh's store",
            "send by UDP, as a name lookup does",
            "write into the mesh's files",
            "write into the vault",
        ],
    ),
    (
        "executor",
        &[
            "open a netlink socket",
            "read a service credential",
            "read the executor's journal",
            "read the key that signs receipts",
            "send by UDP, as a name lookup does",
            "write into approved/",
            "write into executor/",
            "write into receipts/",
        ],
    ),
    ("reviewer", &["write into approved/", "write where the root key remembers"]),
    ("owner", &["read the mesh's store", "write into the mesh's files", "write where the root key remembers"]),
    (
        "pairing",
        &[
            "connect to a TCP port of its choice",
            "listen on a TCP port",
            "open a netlink socket",
            "read the node key",
            "read the owner's keys as they lie on disk",
            "send by UDP, as a name lookup does",
            "write where the root key remembers",
        ],
    ),
];

#[test]
fn each_wall_stops_what_its_process_has_no_business_with() {
    let pair = local_with_a_secret();
    let walls = pair.local.json(&["doctor", "--json"])["walls"].clone();
    let missing: Vec<_> = walls.as_array().expect("walls").iter().filter(|wall| wall["stands"] == false).collect();
    assert_eq!(missing.iter().filter(|wall| wall["wall"] == "users").count(), 1, "one user is told: {walls}");
    if missing.len() > 1 {
        return skip(&format!("this kernel cannot put every wall up, so they were not attacked: {missing:?}"));
    }
    for (wall, not_stopped) in NOT_STOPPED {
        let tried = attacked(&pair.local, wall);
        for (attack, (expected, got)) in &tried {
            assert_eq!(expected, got, "{wall}: {attack}");
        }
        let through: Vec<_> =
            tried.iter().filter(|(_, (_, got))| got == "not stopped").map(|(attack, _)| attack.as_str()).collect();
        assert_eq!(through, not_stopped, "{wall}");
    }
    let made = [pair.local.home.join("approved"), pair.local.home.join("executor"), pair.local.vault.clone()];
    for folder in made {
        assert!(!folder.join(".aiemp-probe").exists(), "the attacks leave nothing in {}", folder.display());
    }
}

/// What one user cannot be kept from without users of their own for mesh and executor: it is promised nowhere.
#[test]
fn another_program_of_the_same_user_is_stopped_from_nothing_but_reading_memory() {
    let pair = local_with_a_secret();
    let tried = attacked(&pair.local, "none");
    for attack in [
        "read the node key",
        "read the owner's keys as they lie on disk",
        "read a service credential",
        "read the executor's journal",
        "read the mesh's store",
        "read a note of the vault",
        "write into approved/",
        "hard-link a key into the vault",
        "signal a sibling",
        "run a shell",
    ] {
        assert_eq!(tried[attack].1, "not stopped", "{attack}");
    }
    let memory = if rustix::process::getuid().is_root() { "not stopped" } else { "stopped" };
    assert_eq!(tried["open the memory of a sibling"].1, memory);
}

/// Sends one line over the control socket; the node's answer.
fn ask(node: &Node, line: &str) -> Value {
    let mut stream = UnixStream::connect(node.home.join("run/control.sock")).expect("the node listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    stream.write_all(format!("{line}\n").as_bytes()).expect("it reads");
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).expect("it answers");
    serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{line}: {answer:?}"))
}

/// The bytes of every file below a folder that is not the mesh's own.
fn authority(node: &Node) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for folder in ["approved", "keys", "roster", "receipts", "executor/secrets", "executor"] {
        for file in fs::read_dir(node.home.join(folder)).into_iter().flatten().flatten() {
            if file.path().is_file() && !file.file_name().to_string_lossy().starts_with("journal") {
                found.insert(
                    format!("{folder}/{}", file.file_name().to_string_lossy()),
                    fs::read(file.path()).expect("a file"),
                );
            }
        }
    }
    found.insert("config.toml".to_owned(), fs::read(node.home.join("config.toml")).expect("settings"));
    found
}

/// Requests that would need a key, if they existed.
const MADE_UP: [&str; 30] = [
    "approve",
    "unfreeze",
    "freeze",
    "release",
    "egress_release",
    "settle",
    "policy",
    "standing",
    "hands",
    "secrets",
    "secrets_add",
    "pair",
    "revoke",
    "heal",
    "zones",
    "share",
    "handover",
    "thaw",
    "send",
    "dispatch",
    "execute",
    "sign",
    "unlock",
    "config",
    "roster",
    "shutdown",
    "exec",
    "read",
    "write",
    "key",
];

#[test]
fn nothing_with_authority_can_be_asked_over_the_control_socket() {
    let pair = local_with_a_secret();
    pair.cloud.drop_mail("order.eml", b"From: a@client.test\r\nTo: me@example.test\r\nSubject: x\r\n\r\nHello\r\n");
    pair.wait("the draft arrives", |pair| !pair.local.approvals_in("pending").is_empty());
    let before = authority(&pair.local);
    let draft = ask(&pair.local, r#"{"ask":"drafts"}"#)["drafts"][0].clone();
    let (id, file) = (pair.local.approvals_in("pending").remove(0), draft["file"].clone());
    for kind in MADE_UP {
        for ask_for in [
            json!({ "ask": kind }),
            json!({ "ask": kind, "id": id, "file": file, "path": "Approved/x.md", "name": "n", "value": "v" }),
            json!({ kind: { "id": id, "file": file } }),
            json!({ "ask": "status", kind: true, "approve": id }),
        ] {
            let answer = ask(&pair.local, &ask_for.to_string());
            let harmless = answer["answer"] == "bad_request" || ask_for["ask"] == "status";
            assert!(harmless, "{ask_for}: {answer}");
        }
    }
    let keys = json!(pair.local.home.join("keys/node.key"));
    for (known, answers) in [
        (json!({ "ask": "drafts" }), "drafts"),
        (json!({ "ask": "conflicts" }), "conflicts"),
        (json!({ "ask": "status" }), "status"),
        (json!({ "ask": "tasks", "peer": "cloud" }), "tasks"),
        (json!({ "ask": "file", "path": draft["path"] }), "file"),
        (json!({ "ask": "file", "path": "../home/keys/node.key" }), "not_found"),
        (json!({ "ask": "file", "path": keys }), "not_found"),
        (json!({ "ask": "resolve", "id": "none", "choice": "both" }), "not_found"),
        (json!({ "ask": "reject", "file": "none", "reason": "r" }), "not_found"),
    ] {
        let answer = ask(&pair.local, &known.to_string());
        let empty = answer["answer"] == "file" && answer["content"].is_null();
        let answered =
            answer["answer"] == answers || (answers == "not_found" && (empty || answer["answer"] == "bad_request"));
        assert!(answered, "{known}: {answer}");
    }
    assert_eq!(authority(&pair.local), before, "nothing that carries authority was made or changed");
    assert!(pair.local.outbox().is_empty(), "nothing was sent");
    assert_eq!(pair.local.approvals_in("pending"), [id], "the draft waits for its approval");
}
