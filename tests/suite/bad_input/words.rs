//! What commands say of what is missing, stopped, or over.

use std::{
    fs::{self, File},
    process::{Output, Stdio},
};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::node::{Node, Pair, becomes, binary, text};

#[test]
fn a_file_that_is_not_there_is_told_with_what_to_name_instead() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let node = Node::init(dir.path(), "local", &[]);
    node.refused(&["policy", "apply", "/nonexistent"])
        .assert(1, &["cannot read /nonexistent: No such file", "`aiemp-node policy show` prints the form"]);
    let refusal = node.refused(&["hands", "apply", "/nonexistent"]);
    refusal.assert(1, &["cannot read /nonexistent: No such file", "docs/hands.md"]);
    assert_eq!(refusal.said.matches("No such file").count(), 1, "{}", refusal.said);
}

#[test]
fn a_demo_that_is_stopped_says_so_and_leaves_nothing() {
    use std::os::unix::process::CommandExt as _;
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut command = std::process::Command::new(binary());
    command.arg("demo").env("TMPDIR", dir.path()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    let child = command.spawn().expect("it runs");
    let is_begun = || fs::read_dir(dir.path()).is_ok_and(|mut files| files.next().is_some());
    assert!(becomes(crate::node::PATIENCE, is_begun), "the demo begins");
    // As a terminal does, which tells the whole group.
    let group = Pid::from_raw(child.id().cast_signed()).expect("a process");
    kill_process_group(group, Signal::INT).expect("it is told");
    let ended = child.wait_with_output().expect("it ends");
    let said = text(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("the demo was stopped after") && said.contains("Nothing of it is left"), "{said}");
    assert!(!is_begun());
}

#[test]
fn a_freeze_that_was_lifted_is_no_error_at_the_next_start() {
    let mut pair = Pair::running();
    pair.local.must(&["freeze"]);
    pair.wait("it is logged", |pair| pair.local.log().contains("lets it go on"));
    pair.local.must(&["unfreeze"]);
    pair.wait("it goes on", |pair| !pair.local.must(&["status"]).contains("FROZEN"));
    pair.local.stop();
    let before = pair.local.log().len();
    pair.local.start();
    pair.wait("it is known", |pair| pair.local.log()[before..].contains("there was a freeze, which was lifted"));
    assert!(!pair.local.log()[before..].contains("ERROR"), "{}", pair.local.last_words());
}

#[test]
fn a_ticket_is_made_by_a_node_that_was_started_in_the_same_moment() {
    let mut pair = Pair::strangers();
    pair.cloud.spawn();
    assert!(pair.cloud.must(&["pair", "invite"]).len() > 40);
}

#[test]
fn an_unattended_mesh_is_not_said_to_need_a_passphrase() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = dir.path().join("passphrase");
    fs::write(&file, "correct horse battery\n").expect("written");
    let file = file.to_string_lossy().into_owned();
    let node = Node::init(dir.path(), "local", &["--passphrase-file", &file]);
    let told = text(&node.run(&["doctor"]).stdout);
    assert!(told.contains("open without a person") && !told.contains("needs your passphrase"), "{told}");
}

/// Runs a command whose output nobody reads.
fn unread(node: &Node, args: &[&str]) -> Output {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    node.command(args).stdout(writer).stderr(Stdio::piped()).output().expect("it runs")
}

/// Runs a command whose output finds no room.
fn on_a_full_disk(node: &Node, args: &[&str]) -> Output {
    let full = File::options().write(true).open("/dev/full").expect("Linux has it");
    node.command(args).stdout(full).stderr(Stdio::piped()).output().expect("it runs")
}

#[test]
fn output_that_nobody_reads_or_that_finds_no_room_ends_no_command_in_a_panic() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let node = Node::init(dir.path(), "local", &[]);
    for args in [&["status"][..], &["status", "--json"], &["doctor"], &["version"], &["config", "show"]] {
        let output = unread(&node, args);
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""), "{args:?}");
        let output = on_a_full_disk(&node, args);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert_eq!(said.matches("cannot be written: No space left on device").count(), 1, "{args:?}: {said}");
        assert_eq!(said.lines().count(), 2, "{args:?}: {said}");
    }
    fs::set_permissions(node.home.join("config.toml"), std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .expect("opened");
    assert_eq!(unread(&node, &["doctor"]).status.code(), Some(1), "the command's own exit code");
}

#[test]
fn an_approval_that_was_handed_in_is_no_failure_where_its_words_find_no_room() {
    let pair = Pair::running();
    pair.cloud.drop_mail("a.eml", b"From: a@client.test\r\nTo: me@example.test\r\nSubject: a\r\n\r\nHello\r\n");
    pair.wait("the draft waits", |pair| pair.local.approvals_in("pending").len() == 1);
    let id = pair.local.approvals_in("pending").remove(0);
    let output = on_a_full_disk(&pair.local, &["approvals", "approve", &id]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains(&format!("approved {id}")) && !said.contains("error"), "{said}");
    pair.wait("it is sent", |pair| pair.local.outbox().len() == 1);
}

#[test]
fn a_node_whose_log_nobody_reads_lives_on() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let node = Node::init(dir.path(), "local", &[]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut child = node.command(&["--role", "local"]).stdout(Stdio::null()).stderr(writer).spawn().expect("it starts");
    let runs = || node.json(&["status", "--json"])["running"] == true;
    let is_up = becomes(crate::node::PATIENCE, runs);
    crate::node::signal(child.id(), Signal::TERM);
    let ended = child.wait().expect("it ends");
    assert!(is_up);
    assert_eq!(ended.code(), Some(0));
}

#[test]
fn a_mistyped_command_is_not_answered_with_one_that_is_hidden() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let node = Node::at(dir.path(), "local");
    let refusal = node.refused(&["proces"]);
    refusal.assert(2, &["unrecognized subcommand 'proces'"]);
    assert!(!refusal.said.contains("process"), "{}", refusal.said);
    node.refused(&["statu"]).assert(2, &["a similar subcommand exists: 'status'"]);
}
