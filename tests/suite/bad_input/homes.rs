//! Homes, roles, settings, keys and ports that are not as they should be.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt, path::Path};

use tempfile::TempDir;

use crate::node::{Node, Pair, becomes, free_port, text};

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the mode is set");
}

#[test]
fn a_vault_in_the_home_and_a_home_in_the_vault_are_refused_before_anything_is_made() {
    let dir = folder();
    for role in ["cloud", "local"] {
        let mut node = Node::at(dir.path(), role);
        let inside = shown(&node.home.join("notes"));
        let init = ["init", "--role", role, "--unprotected-keys", "--vault"];
        let refused = node.refused(&[&init[..], &[&inside]].concat());
        refused.assert(78, &["the vault lies inside the home", "give another --home or --vault"]);
        let around = shown(dir.path());
        node.refused(&[&init[..], &[&around]].concat()).assert(78, &["the home lies inside the vault"]);
        let itself = shown(&node.home);
        node.refused(&[&init[..], &[&itself]].concat()).assert(78, &["inside the home"]);
        // A link does not hide it.
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path(), &link).expect("a link");
        node.home = link.join("home");
        node.refused(&[&init[..], &[&around]].concat()).assert(78, &["the home lies inside the vault"]);
        fs::remove_file(link).expect("the link goes");
        let left: Vec<_> = fs::read_dir(dir.path()).expect("the folder is there").flatten().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn settings_that_nest_home_and_vault_refuse_the_start() {
    let dir = folder();
    for role in ["cloud", "local"] {
        let mut node = Node::init(dir.path(), role, &[]);
        node.vault = node.home.join("notes");
        node.configure("");
        node.refused(&["--role", role]).assert(78, &["the vault lies inside the home", "Keep them apart"]);
        assert!(!node.vault.exists());
        let flag = shown(&node.home.join("other"));
        node.vault = dir.path().join("vault");
        node.configure("");
        node.refused(&["--role", role, "--vault", &flag]).assert(78, &["the vault lies inside the home"]);
    }
}

#[test]
fn keys_and_homes_that_others_can_read_refuse_the_start_and_say_how_to_close_them() {
    let dir = folder();
    for role in ["cloud", "local"] {
        let node = Node::init(dir.path(), role, &[]);
        let key = node.home.join("keys/node.key");
        chmod(&key, 0o644);
        let command = format!("chmod 600 {}", key.display());
        node.refused(&["--role", role]).assert(1, &[&command, "open to other users"]);
        chmod(&key, 0o600);
        chmod(&node.home, 0o755);
        let command = format!("chmod 700 {}", node.home.display());
        node.refused(&["--role", role]).assert(1, &[&command, "open to other users"]);
        chmod(&node.home, 0o700);
        let mut node = node;
        if role == "local" {
            node.start();
            assert_eq!(node.stop().0, Some(0));
        }
    }
}

#[test]
fn a_role_that_is_not_the_homes_is_refused() {
    let dir = folder();
    let (cloud, local) = (Node::init(dir.path(), "cloud", &[]), Node::init(dir.path(), "local", &[]));
    cloud.refused(&["--role", "local"]).assert(78, &["belongs to a cloud node, not a local one", "--role cloud"]);
    local.refused(&["--role", "cloud"]).assert(78, &["belongs to a local node, not a cloud one", "--role local"]);
    let mut pair = Pair::paired();
    pair.cloud.stop();
    pair.cloud.refused(&["--role", "local"]).assert(78, &["belongs to a cloud node", "--role cloud"]);
    pair.local.refused(&["--role", "cloud"]).assert(78, &["belongs to a local node", "--role local"]);
}

#[test]
fn a_home_that_was_never_made_says_how_to_make_one() {
    let dir = folder();
    let node = Node::at(dir.path(), "local");
    node.refused(&["--role", "local"]).assert(78, &["config.toml", "aiemp-node init --role"]);
    node.refused(&["approvals"]).assert(1, &["aiemp-node init"]);
    assert!(!node.home.exists());
}

#[test]
fn a_second_init_changes_nothing() {
    let dir = folder();
    let node = Node::init(dir.path(), "local", &[]);
    let before = fs::read(node.home.join("keys/owner.key")).expect("the owner's keys");
    let vault = shown(&node.vault);
    let again = node.refused(&["init", "--role", "local", "--vault", &vault, "--unprotected-keys"]);
    again.assert(1, &["holds a node already", "Nothing was changed"]);
    assert_eq!(fs::read(node.home.join("keys/owner.key")).expect("the owner's keys"), before);
}

#[test]
fn unknown_and_broken_settings_refuse_the_start_and_name_the_line() {
    let dir = folder();
    let node = Node::init(dir.path(), "local", &[]);
    for (settings, named) in [
        ("[mail]\nhnad = \"smtp\"\n", "hnad"),
        ("colour = \"blue\"\n", "colour"),
        ("[mail]\nhand = \"pigeon\"\n", "`outbox` or `smtp`"),
        ("[mail]\nhand = \"smtp\"\n", "[smtp]"),
        ("[mail\n", "line 2"),
    ] {
        node.configure(settings);
        node.refused(&["--role", "local"]).assert(78, &[named, "config.toml", "deploy/config/"]);
        node.refused(&["status"]).assert(78, &[named]);
    }
}

#[test]
fn a_port_that_is_taken_is_named_with_what_to_do() {
    let pair = Pair::strangers();
    let port = free_port();
    let taken = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    let listen = format!("/ip4/127.0.0.1/tcp/{port}");
    let refused = pair.cloud.refused(&["--role", "cloud", "--listen", &listen]);
    refused.assert(1, &[&listen, "the port is in use", "another --listen"]);
    drop(taken);
    pair.cloud.refused(&["--role", "cloud", "--listen", "0.0.0.0:4001"]).assert(78, &["/ip4/0.0.0.0/tcp/4001"]);
}

#[test]
fn a_second_node_on_a_home_is_refused_and_the_first_goes_on() {
    let mut pair = Pair::running();
    for node in [&pair.cloud, &pair.local] {
        let refused = node.refused(&["--role", node.role]);
        refused.assert(1, &["a node runs on", "already", "another --home"]);
    }
    assert!(pair.cloud.is_running() && pair.local.is_running());
    pair.local.save("Plans/still.md", "still here\n");
    pair.wait("they go on", |pair| pair.cloud.read("Plans/still.md").is_some());
    assert!(pair.local.json(&["status", "--json"])["running"].as_bool().expect("a status"));
}

#[test]
fn a_wrong_passphrase_opens_nothing() {
    let dir = folder();
    let (right, wrong, empty) = (dir.path().join("right"), dir.path().join("wrong"), dir.path().join("empty"));
    fs::write(&right, "correct horse battery\n").expect("written");
    fs::write(&wrong, "correct horse battery staple\n").expect("written");
    fs::write(&empty, "\n").expect("written");
    let node = Node::init(dir.path(), "local", &["--passphrase-file", &shown(&right)]);
    let add = |file: &Path| {
        let output = node.with_input(&["secrets", "add", "smtp", "--passphrase-file", &shown(file)], "0123456789abc\n");
        (output.status.code(), text(&output.stderr))
    };
    let (code, said) = add(&wrong);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the passphrase is wrong") && said.contains("Try again"), "{said}");
    assert!(!said.contains("is tried in"), "the first one is not slowed: {said}");
    let started = std::time::Instant::now();
    let (code, said) = add(&wrong);
    assert!(code == Some(1) && said.contains("After 1 wrong passphrase: this one is tried in 1 s."), "{said}");
    assert!(started.elapsed() >= std::time::Duration::from_millis(500), "it was slowed");
    let (code, said) = add(&empty);
    assert!(code == Some(1) && said.contains("is empty") && said.contains("first line"), "{said}");
    let (code, said) = add(&dir.path().join("absent"));
    assert!(code == Some(1) && said.contains("cannot read") && said.contains("absent"), "{said}");
    assert_eq!(node.json(&["secrets", "list", "--json"])["items"], serde_json::json!([]));
    let (code, said) = add(&right);
    assert!(code == Some(0) && said.contains("After 2 wrong passphrases"), "{said}");
    let (code, said) = add(&right);
    assert!(code == Some(0) && !said.contains("wrong"), "a right one clears: {said}");
}

#[test]
fn commands_for_a_running_node_say_that_none_runs() {
    let dir = folder();
    let mut node = Node::init(dir.path(), "local", &[]);
    for command in [&["approvals"][..], &["conflicts"]] {
        node.refused(command).assert(1, &["no node runs on", "aiemp-node --role local"]);
    }
    let refused = node.refused(&["approvals", "--json"]);
    let error: serde_json::Value = serde_json::from_str(&refused.said).expect("the refusal is JSON");
    assert_eq!(error["error"]["code"], "not_running");
    node.start();
    assert!(becomes(crate::node::PATIENCE, || node.run(&["approvals"]).status.success()));
}

#[test]
fn a_sender_given_to_init_is_checked_and_stands_in_the_settings() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let node = Node::at(dir.path(), "local");
    let vault = node.vault.to_string_lossy().into_owned();
    let init = |role, from| ["init", "--role", role, "--vault", &vault, "--unprotected-keys", "--from", from];
    node.refused(&init("local", "me at example.test")).assert(2, &["is no mail address", "Ann Example"]);
    node.refused(&init("cloud", "me@example.test")).assert(2, &["sends nothing", "Local"]);
    node.must(&init("local", "Me <me@example.test>"));
    assert!(node.must(&["config", "show"]).contains("from = \"Me <me@example.test>\""));
}
