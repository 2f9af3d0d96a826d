//! The root key signs on what it signed last, whatever lies in `roster/`.

use std::fs::{self, File};

use aiemp_keys::{Keystore, Signer, private_file::write_private};
use aiemp_node::{
    home::Home,
    shell::{self, rosters::signing::Signing},
};
use aiemp_protocol::roster::{Roster, RosterChain, SignedRoster};

use crate::node::{Node, Pair};

fn chain(home: &Home) -> RosterChain {
    shell::rosters::load(home).expect("readable").expect("a roster")
}

fn root(home: &Home) -> Signer {
    Keystore::at(home.path()).unlock(None).expect("the owner's keys").root
}

/// Signs the next roster where nothing of it is remembered, as another computer of the owner does.
fn signed_elsewhere(home: &Home, mut chain: RosterChain) -> RosterChain {
    let next = chain.current().successor(shell::clock::now());
    chain.extend(&SignedRoster::sign(&root(home), next).to_bytes()).expect("it follows");
    chain
}

fn put(home: &Home, chain: &RosterChain) {
    write_private(&home.rosters(), &chain.to_bytes()).expect("written");
}

fn local() -> (tempfile::TempDir, Node, Home) {
    let dir = tempfile::tempdir().expect("a folder");
    let node = Node::init(dir.path(), "local", &[]);
    let home = Home::at(&node.home);
    (dir, node, home)
}

#[test]
fn an_older_roster_on_disk_is_never_signed_on_and_names_nobody_again() {
    let mut pair = Pair::paired();
    let home = Home::at(&pair.local.home);
    let older = chain(&home);
    pair.local.must(&["peers", "revoke", "cloud"]);
    let revoked = chain(&home).current().hash();
    // What a mesh that was taken over can do.
    put(&home, &older);
    assert_eq!(pair.local.json(&["peers", "list", "--json"])["members"].as_array().map(Vec::len), Some(1));
    let doctor = pair.local.run(&["doctor"]);
    assert!(String::from_utf8_lossy(&doctor.stdout).contains("the roster of epoch 3, which was signed here, is not"));
    pair.local.start();
    pair.local.must(&["peers", "renew"]);
    let renewed = chain(&home);
    assert_eq!(renewed.current().epoch, 4);
    assert_eq!(renewed.at(3).map(Roster::hash), Some(revoked));
    let members = |pair: &Pair| pair.local.json(&["status", "--json"])["peers"].as_array().map(Vec::len);
    pair.wait("the running node learns of it", |pair| members(pair) == Some(0));
    // Also where nothing is left, and to a command that finds nothing to sign.
    fs::remove_file(home.rosters()).expect("it goes");
    pair.local.refused(&["peers", "revoke", "cloud"]).assert(1, &["no member is named `cloud`"]);
    assert_eq!(chain(&home).current().hash(), renewed.current().hash());
}

#[test]
fn what_a_crash_left_between_remembering_and_showing_is_completed() {
    let (_dir, local, home) = local();
    let first = chain(&home);
    let second = signed_elsewhere(&home, first.clone());
    write_private(&home.signed_rosters(), &second.to_bytes()).expect("written");
    local.must(&["peers", "renew"]);
    assert_eq!(chain(&home).at(2).map(Roster::hash), Some(second.current().hash()));
    assert_eq!(chain(&home).current().epoch, 3);
}

#[test]
fn another_roster_of_an_epoch_that_was_signed_is_refused_as_a_fork() {
    let (_dir, local, home) = local();
    let first = chain(&home);
    local.must(&["peers", "renew"]);
    let signed = chain(&home);
    put(&home, &signed_elsewhere(&home, first));
    for args in [&["peers", "renew"][..], &["peers", "heal", "local"], &["peers", "revoke", "local"]] {
        local.refused(args).assert(78, &["two different rosters of epoch 2", "the root key signed twice"]);
    }
    assert_eq!(shell::rosters::forked_epoch(&home, &chain(&home)), Some(2), "what proves it is kept");
    local.refused(&["approvals", "approve", "00000000"]);
    // One of another mesh is no fork.
    let (_other_dir, _other, other) = self::local();
    fs::remove_file(home.roster_fork()).expect("it goes");
    put(&home, &chain(&other));
    local
        .refused(&["peers", "renew"])
        .assert(78, &["does not belong to the rosters that were signed here", "move it away"]);
    fs::rename(home.rosters(), home.path().join("aside")).expect("moved");
    local.must(&["peers", "renew"]);
    assert_eq!(chain(&home).at(2).map(Roster::hash), Some(signed.current().hash()));
}

#[test]
fn no_roster_is_signed_beside_one_that_came_while_the_person_was_asked() {
    let (_dir, local, home) = local();
    let first = chain(&home);
    let mut signing = Signing::begin(&home).expect("one mesh").expect("a mesh");
    let next = signing.rosters().current().successor(shell::clock::now());
    // The passphrase is being typed, and another computer's arrives.
    let second = signed_elsewhere(&home, first.clone());
    put(&home, &second);
    let refused = signing.sign(&root(&home), next).expect_err("there is another of that epoch").to_string();
    assert!(refused.contains("another computer of yours signed a roster meanwhile"), "{refused}");
    assert_eq!(fs::read(home.signed_rosters()).expect("remembered"), first.to_bytes(), "nothing was signed");
    assert!(!home.roster_fork().exists());
    drop(signing);
    local.must(&["peers", "renew"]);
    assert_eq!(chain(&home).at(2).map(Roster::hash), Some(second.current().hash()));
    assert_eq!(chain(&home).current().epoch, 3);
}

#[test]
fn a_damaged_or_lost_roster_comes_back_from_beside_the_keys() {
    let (_dir, local, home) = local();
    local.must(&["peers", "renew"]);
    let signed = chain(&home);
    let doctor = |said: &str| {
        let found = String::from_utf8_lossy(&local.run(&["doctor"]).stdout).into_owned();
        assert!(found.contains(said) && found.contains("`aiemp-node peers renew` brings it back"), "{found}");
        assert!(!found.contains("Restore the home") && !found.contains("pair invite"), "{found}");
    };
    for damage in [&b""[..], b"no roster"] {
        write_private(&home.rosters(), damage).expect("written");
        doctor("is not a roster chain that verifies");
        local.refused(&["peers", "list"]).assert(1, &["roster/chain", "`aiemp-node peers renew` brings it back"]);
        // A command of the root key that finds nothing to sign.
        local.refused(&["peers", "revoke", "local"]).assert(1, &["is the node that sends"]);
        assert_eq!(chain(&home).current().hash(), signed.current().hash());
        assert_eq!(fs::read(home.rosters().with_extension("damaged")).expect("put aside"), damage);
    }
    fs::remove_file(home.rosters().with_extension("damaged")).expect("it goes");
    fs::remove_file(home.rosters()).expect("it goes");
    fs::create_dir(home.rosters()).expect("a folder in its place");
    local.must(&["peers", "renew"]);
    assert_eq!(chain(&home).current().epoch, 3);
    fs::remove_file(home.rosters()).expect("it goes");
    doctor("the roster of epoch 3 was signed here");
    local.refused(&["peers", "list"]).assert(1, &["roster/chain is missing"]);
    local.must(&["peers", "renew"]);
    assert_eq!(chain(&home).current().epoch, 4);
}

#[test]
fn a_roster_that_another_computer_of_the_owner_signed_is_taken_and_remembered() {
    let (_dir, local, home) = local();
    let first = chain(&home);
    let second = signed_elsewhere(&home, first.clone());
    put(&home, &second);
    // Refused, and yet remembered: it was seen.
    local.refused(&["peers", "revoke", "local"]).assert(1, &["is the node that sends"]);
    put(&home, &first);
    local.must(&["peers", "renew"]);
    assert_eq!(chain(&home).at(2).map(Roster::hash), Some(second.current().hash()));
    assert_eq!(chain(&home).current().epoch, 3);
}

#[test]
fn a_home_that_remembers_nothing_begins_with_what_it_has() {
    let (_dir, local, home) = local();
    fs::remove_dir_all(home.signed()).expect("it goes");
    local.must(&["peers", "renew"]);
    assert_eq!(chain(&home).current().epoch, 2);
    assert_eq!(fs::read(home.signed_rosters()).expect("remembered"), fs::read(home.rosters()).expect("a chain"));
}

#[test]
fn two_commands_that_sign_do_not_run_at_once() {
    let (_dir, local, home) = local();
    let held = File::open(home.signed()).expect("a folder");
    held.try_lock().expect("nobody signs");
    local.refused(&["peers", "renew"]).assert(1, &["another command that signs rosters is at work"]);
    drop(held);
    local.must(&["peers", "renew"]);
}
