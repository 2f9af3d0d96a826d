//! The brake, end to end: everybody stands still in two seconds, through a restart, until the person lets go.

use std::time::{Duration, Instant};

use aiemp_keys::{
    Keystore,
    private_file::{create_private_dir, read_private, write_private},
};
use aiemp_node::{home::Home, shell};
use aiemp_protocol::{
    freeze::{Brake, FreezeRecord},
    roster::{Member, SignedRoster},
    time::Timestamp,
};

use crate::node::{Node, Pair};

const FROZEN_WITHIN: Duration = Duration::from_secs(2);
const MAIL: &[u8] = b"From: Client <client@client.test>\r\nTo: me@example.test\r\nSubject: Order\r\n\
                      Date: Wed, 07 Jan 2026 10:30:00 +0000\r\nMessage-ID: <order@client.test>\r\n\r\nHello\r\n";

fn is_frozen(node: &Node) -> bool {
    node.json(&["status", "--json"])["frozen"] == true
}

#[test]
fn a_freeze_stops_every_node_in_two_seconds_and_only_the_person_lifts_it() {
    let mut pair = Pair::running();
    pair.cloud.drop_mail("order.eml", MAIL);
    pair.wait("a draft waits", |pair| pair.local.approvals_in("pending").len() == 1);
    let id = pair.local.approvals_in("pending").remove(0);
    let since = Instant::now();
    pair.local.must(&["freeze"]);
    pair.wait("Cloud stands still", |pair| is_frozen(&pair.cloud));
    let took = since.elapsed();
    assert!(is_frozen(&pair.local) && took <= FROZEN_WITHIN, "{took:?}");
    pair.local.must(&["approvals", "approve", &id]);
    pair.cloud.stop();
    pair.local.stop();
    pair.cloud.start();
    pair.local.start();
    let second = String::from_utf8_lossy(MAIL).replace("order@", "second@").replace("Order", "Second");
    pair.cloud.drop_mail("second.eml", second.as_bytes());
    pair.wait("it is taken in", |pair| pair.local.named("Needs_Action/email", "EMAIL_", ".md").len() == 1);
    pair.wait("the approval is taken up", |pair| pair.local.approvals_in("approved").len() == 1);
    assert!(is_frozen(&pair.local) && is_frozen(&pair.cloud));
    assert_eq!((pair.local.outbox().len(), pair.local.approvals_in("pending").len()), (0, 0));
    pair.cloud.refused(&["unfreeze"]).assert(78, &["decided on Local alone"]);
    pair.local.must(&["unfreeze"]);
    pair.wait("all goes on", |pair| {
        pair.local.outbox().len() == 1 && pair.local.approvals_in("pending").len() == 1 && !is_frozen(&pair.cloud)
    });
    assert_eq!(pair.local.must(&["unfreeze"]), "");
}

#[test]
fn a_cloud_that_freezes_alarms_and_stops_nobody_else() {
    let pair = Pair::running();
    pair.cloud.must(&["freeze"]);
    pair.wait("Local hears of it", |pair| pair.local.must(&["status"]).contains("froze itself"));
    assert!(is_frozen(&pair.cloud) && !is_frozen(&pair.local));
    pair.local.must(&["unfreeze"]);
    pair.wait("Cloud goes on", |pair| !is_frozen(&pair.cloud));
}

#[test]
fn a_freeze_of_a_time_to_come_never_wears_the_brake_out() {
    let dir = tempfile::tempdir().expect("a folder");
    let local = Node::init(dir.path(), "local", &["--unprotected-keys"]);
    let home = Home::at(&local.home);
    let signer = shell::identity::load(&home).expect("a node key");
    let mesh = shell::rosters::load(&home).expect("readable").expect("a roster").current().mesh;
    let file = home.freezes().join(format!("{}-frozen.freeze", signer.node_id()));
    let plant = |at| {
        let record = FreezeRecord { brake: Brake::Frozen, node: signer.node_id(), at };
        write_private(&file, &record.sign(&signer, mesh)).expect("written");
    };
    // A program that took the node key signs what no later freeze could outweigh.
    plant(Timestamp::from_millis(u64::MAX));
    for args in [&["unfreeze"][..], &["unfreeze", "--clock-was-ahead"]] {
        local.refused(args).assert(1, &["a time that no clock shows", "Somebody else has that node's key"]);
        assert!(is_frozen(&local));
    }
    local.must(&["freeze"]);
    assert!(is_frozen(&local));
    let ahead = shell::clock::now() + Duration::from_secs(86_400);
    plant(ahead);
    local.refused(&["unfreeze"]).assert(1, &["Its time is still to come", "--clock-was-ahead"]);
    assert!(is_frozen(&local));
    local.must(&["unfreeze", "--clock-was-ahead"]);
    assert!(!is_frozen(&local));
    // The mesh loses it; the executor has not.
    let lift = read_private(&home.freezes().join(format!("{}-lifted.freeze", signer.node_id()))).expect("a lift");
    create_private_dir(&home.executor_freezes()).expect("a folder");
    write_private(&home.executor_freezes().join("lifted.freeze"), lift.expose()).expect("written");
    std::fs::remove_dir_all(home.freezes()).expect("removed");
    local.must(&["freeze"]);
    let record = read_private(&file).expect("a freeze");
    let roster = shell::rosters::load(&home).expect("readable").expect("a roster");
    assert!(FreezeRecord::verify(roster.current(), record.expose()).expect("valid").at > ahead);
    // A lift that an earlier version signed.
    let latest = FreezeRecord { brake: Brake::Lifted, node: signer.node_id(), at: Timestamp::from_millis(u64::MAX) };
    let keys = Keystore::at(&local.home).unlock(None).expect("the owner's keys");
    write_private(&home.freezes().join("latest.freeze"), &latest.sign(&keys.approve, mesh)).expect("written");
    local.refused(&["freeze"]).assert(1, &["NOT frozen", "make a new mesh"]);
}

#[test]
fn a_freeze_is_of_the_mesh_that_was_signed_here_whatever_lies_on_disk() {
    let folders = [tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder")];
    let [local, other] = folders.each_ref().map(|dir| Node::init(dir.path(), "local", &["--unprotected-keys"]));
    let home = Home::at(&local.home);
    let me = shell::identity::load(&home).expect("a node key").node_id();
    let own = shell::rosters::load(&home).expect("readable").expect("a roster");
    // A mesh of somebody else that names this node, in which nobody asked it.
    let foreign = Home::at(&other.home);
    let mut chain = shell::rosters::load(&foreign).expect("readable").expect("a roster");
    let mut next = chain.current().successor(shell::clock::now());
    let member = own.current().member(me).expect("a member").clone();
    next.members.push(Member { name: "another".to_owned(), ..member });
    next.members.sort_by_key(|member| member.node);
    next.executor = me;
    let root = Keystore::at(&other.home).unlock(None).expect("the owner's keys").root;
    chain.extend(&SignedRoster::sign(&root, next).to_bytes()).expect("it follows");
    let frozen = |file: &std::path::Path| FreezeRecord::verify(own.current(), &std::fs::read(file).expect("a file"));
    for lies in [chain.to_bytes(), b"no roster".to_vec()] {
        write_private(&home.rosters(), &lies).expect("written");
        local.must(&["freeze"]);
        let told = std::fs::read_dir(home.approved()).expect("a folder").map(|file| file.expect("a file").path());
        let told: Vec<_> = told.collect();
        assert!(!told.is_empty() && told.iter().all(|file| frozen(file).is_ok()), "of this node's own mesh");
    }
    write_private(&home.rosters(), &chain.to_bytes()).expect("written");
    for args in [&["unfreeze"][..], &["peers", "list"], &["status"]] {
        local.refused(args).assert(78, &["does not belong to the rosters that were signed here"]);
    }
}

#[test]
fn a_freeze_reaches_the_executor_though_the_meshs_folder_takes_and_tells_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let local = Node::init(dir.path(), "local", &["--unprotected-keys"]);
    let home = Home::at(&local.home);
    std::fs::remove_dir_all(home.freezes()).ok();
    std::fs::write(home.freezes(), "in the way").expect("written");
    assert!(local.must(&["freeze"]).contains("frozen the mesh"));
    assert_eq!(std::fs::read_dir(home.approved()).expect("a folder").count(), 1);
    local.refused(&["unfreeze"]);
}

#[test]
fn what_was_lifted_is_told_again_where_the_mesh_lost_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let local = Node::init(dir.path(), "local", &["--unprotected-keys"]);
    let home = Home::at(&local.home);
    local.must(&["freeze"]);
    local.must(&["unfreeze"]);
    let lift = home.freezes().join(format!("{}-lifted.freeze", shell::identity::own_id(&home).expect("a node")));
    std::fs::remove_file(&lift).expect("a lift");
    assert!(is_frozen(&local));
    local.must(&["unfreeze"]);
    assert!(lift.exists() && !is_frozen(&local));
    assert_eq!(local.must(&["unfreeze"]), "");
}
