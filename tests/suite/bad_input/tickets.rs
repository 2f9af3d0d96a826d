//! Tickets that are used, expired, altered or somebody else's.

use std::{io::Write as _, process::Stdio};

use aiemp_keys::Signer;
use aiemp_protocol::{pairing::Ticket, time::Timestamp};

use crate::{
    node::{Node, Pair},
    terminal::Terminal,
};

fn refuse(node: &Node, ticket: &str, pieces: &[&str]) {
    node.refused(&["pair", "accept", ticket, "--yes"]).assert(1, pieces);
    let members = node.json(&["peers", "list", "--json"]);
    assert_eq!(members["members"].as_array().map(Vec::len), Some(1), "{members}");
}

fn parsed(ticket: &str) -> Ticket {
    ticket.parse().expect("a ticket")
}

#[test]
fn a_ticket_that_is_expired_altered_or_cut_pairs_nobody() {
    let mut pair = Pair::strangers();
    pair.cloud.start();
    let ticket = pair.invite();
    let expired = Ticket { expires: Timestamp::from_millis(1_000), ..parsed(&ticket) }.to_string();
    refuse(&pair.local, &expired, &["expired at 1970-01-01", "run `aiemp-node pair invite` on the Cloud node again"]);
    let whole = "this is not a whole ticket; copy the line that `aiemp-node pair invite` printed";
    refuse(&pair.local, &ticket[..ticket.len() - 1], &[whole]);
    refuse(&pair.local, &ticket.to_uppercase(), &[whole]);
    refuse(&pair.local, "", &[whole]);
    for at in [10, ticket.len() / 2, ticket.len() - 10] {
        let other = if &ticket[at..=at] == "a" { "b" } else { "a" };
        refuse(&pair.local, &format!("{}{other}{}", &ticket[..at], &ticket[at + 1..]), &[whole]);
    }
    // None of this used up the good one.
    pair.local.must(&["pair", "accept", &ticket, "--yes"]);
}

/// Other users of the machine read the arguments of what runs.
#[test]
fn a_ticket_is_taken_at_the_terminal_or_from_a_pipe_and_shown_to_nobody() {
    let mut pair = Pair::strangers();
    pair.cloud.start();
    let ticket = pair.invite();
    // Without a terminal nobody can compare the words, so the ticket stays good.
    pair.local.refused(&["pair", "accept", &ticket]).assert(1, &["four words", "at a terminal", "--yes"]);
    pair.local.refused(&["pair", "accept", "--yes"]).assert(2, &["stdin held no ticket", "at a terminal"]);
    let mut terminal = Terminal::run(&pair.local, &["pair", "accept"], "true");
    terminal.shows("Ticket (not shown): ");
    terminal.types(&ticket);
    let came = terminal.shows("Are they the same?");
    assert!(!came.contains(&ticket), "{came}");
    terminal.types("y");
    terminal.shows("paired with cloud");
    assert_eq!(terminal.ends(), Some(0));
    // Cloud says anew where it listens, now as a member.
    pair.wait("Cloud is a member", |pair| pair.cloud.log().lines().filter(|line| *line == "ready").count() > 1);
    let again = pair.invite();
    let mut accept = pair.local.command(&["pair", "accept", "--yes"]);
    let mut accept = accept.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the node's program runs");
    accept.stdin.take().expect("a pipe").write_all(format!("{again}\n").as_bytes()).expect("it is read");
    assert!(accept.wait_with_output().expect("it ends").status.success());
    refuse_used(&pair.local, &again);
}

#[test]
fn a_ticket_pairs_once() {
    let mut pair = Pair::strangers();
    pair.cloud.start();
    let ticket = pair.invite();
    pair.local.must(&["pair", "accept", &ticket, "--yes"]);
    let second = Node::init(&pair.dir().join("second"), "local", &[]);
    refuse(&second, &ticket, &["pair invite"]);
    let members = pair.local.json(&["peers", "list", "--json"]);
    assert_eq!(members["members"].as_array().map(Vec::len), Some(2), "{members}");
}

#[test]
fn a_ticket_of_another_node_or_with_another_secret_reaches_nobody() {
    let mut pair = Pair::strangers();
    pair.cloud.start();
    let ticket = pair.invite();
    let stranger = Signer::from_seed([9; 32]).node_id();
    let foreign = Ticket { cloud: stranger, ..parsed(&ticket) }.to_string();
    refuse(&pair.local, &foreign, &["another node answers at", "its key is not the ticket's"]);
    let guessed = Ticket { secret: [7; 16], ..parsed(&ticket) }.to_string();
    refuse(&pair.local, &guessed, &["pair invite"]);
    let later = Ticket { expires: Timestamp::from_millis(u64::MAX / 2), ..parsed(&ticket) }.to_string();
    assert_ne!(later, ticket);
    pair.cloud.stop();
    refuse(&pair.local, &ticket, &["nobody listens at", "is the Cloud node running"]);
    pair.cloud.start();
    pair.local.must(&["pair", "accept", &ticket, "--yes"]);
}

#[test]
fn a_newer_invitation_replaces_the_older_one() {
    let mut pair = Pair::strangers();
    pair.cloud.start();
    let (first, second) = (pair.invite(), pair.invite());
    refuse(&pair.local, &first, &["pair invite"]);
    pair.local.must(&["pair", "accept", &second, "--yes"]);
}

#[test]
fn a_paired_cloud_takes_no_other_owner() {
    let pair = Pair::running();
    let thief = Node::init(&pair.dir().join("thief"), "local", &[]);
    let ticket = pair.invite();
    refuse(&thief, &ticket, &["this Cloud node belongs to another mesh", "its own root key"]);
    let members = pair.cloud.json(&["peers", "list", "--json"]);
    assert_eq!(members["members"].as_array().map(Vec::len), Some(2), "{members}");
    pair.local.save("Plans/after.md", "still in step\n");
    pair.wait("the two go on", |pair| pair.cloud.read("Plans/after.md").is_some());
}

#[test]
fn a_ticket_for_one_mesh_gives_cloud_to_no_other() {
    let mut pair = Pair::strangers();
    pair.cloud.start();
    let mesh_of = |node: &Node| node.json(&["peers", "list", "--json"])["mesh"].as_str().expect("an ID").to_owned();
    let thief = Node::at(&pair.dir().join("thief"), "local");
    let vault = thief.vault.to_string_lossy().into_owned();
    let said = thief.must(&["init", "--role", "local", "--vault", &vault, "--unprotected-keys"]);
    assert!(said.contains(&format!("mesh   {}", mesh_of(&thief))), "{said}");
    pair.invite();
    pair.cloud.refused(&["pair", "invite", "--mesh", "mine"]).assert(2, &["--mesh"]);
    let mesh = mesh_of(&pair.local);
    let invite = ["pair", "invite", "--mesh", &mesh];
    let stolen = pair.cloud.must(&invite);
    refuse(&thief, &stolen, &["the ticket is for another mesh", "Nothing was changed"]);
    assert!(!pair.cloud.home.join("roster/chain").exists(), "Cloud took no roster");
    // The thief used it up; another one pairs.
    refuse(&pair.local, &stolen, &["pair invite"]);
    let ticket = pair.cloud.must(&invite);
    pair.local.must(&["pair", "accept", &ticket, "--yes"]);
    assert_eq!(pair.cloud.json(&["peers", "list", "--json"])["mesh"], mesh.as_str());
}

#[test]
fn an_owner_can_pair_with_the_running_cloud_again() {
    let pair = Pair::running();
    for round in ["first", "second"] {
        let ticket = pair.invite();
        pair.local.must(&["pair", "accept", &ticket, "--yes"]);
        refuse_used(&pair.local, &ticket);
        pair.local.save(&format!("Plans/{round}.md"), "still in step\n");
        pair.wait_same("the two go on", |files| files.contains_key(&format!("Plans/{round}.md")));
    }
    let members = pair.cloud.json(&["peers", "list", "--json"]);
    assert_eq!(members["members"].as_array().map(Vec::len), Some(2), "{members}");
}

fn refuse_used(node: &Node, ticket: &str) {
    node.refused(&["pair", "accept", ticket, "--yes"]).assert(1, &["pair invite"]);
}

#[test]
fn invitations_come_from_cloud_alone_and_need_an_address() {
    let pair = Pair::strangers();
    pair.local.refused(&["pair", "invite"]).assert(78, &["this is a Local node", "on the Cloud node"]);
    pair.cloud.refused(&["pair", "invite"]).assert(1, &["Start the node first, or give --announce"]);
    pair.cloud.refused(&["pair", "invite", "--announce", "a b"]).assert(2, &["HOST:PORT"]);
    let ticket = pair.cloud.must(&["pair", "invite", "--announce", "vm.example.test"]);
    assert!(parsed(&ticket).addresses[0].starts_with("/dns"), "{ticket}");
    pair.cloud.refused(&["pair", "accept", &ticket]).assert(1, &["aiemp-node init --role local"]);
    pair.cloud.refused(&["pair", "accept", "no ticket"]).assert(1, &["aiemp-node init --role local"]);
}
