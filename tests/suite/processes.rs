//! The processes of a node: what each is, how they end, and who refuses to run where.

use std::{collections::BTreeMap, fs, time::Duration};

use rustix::process::Signal;

use crate::{
    deploy::skip,
    node::{Node, PATIENCE, Pair, becomes, free_port, signal, status_field},
};

const STOP_MAX: Duration = Duration::from_secs(3);
const MAIL: &[u8] = b"From: Client <client@client.test>\r\nTo: me@example.test\r\nSubject: Order\r\n\
                      Date: Wed, 07 Jan 2026 10:30:00 +0000\r\nMessage-ID: <order@client.test>\r\n\r\nHello\r\n";

fn is_alive(pid: u32) -> bool {
    status_field(pid, "State").is_some_and(|state| !state.starts_with('Z'))
}

fn executor(pair: &Pair) -> Option<u32> {
    pair.local.processes().get("executor").copied()
}

/// Mesh and executor of Local, once both run.
fn both(pair: &Pair) -> BTreeMap<String, u32> {
    pair.wait("mesh and executor run", |pair| pair.local.processes().len() == 2);
    pair.local.processes()
}

#[test]
fn sigterm_ends_a_node_soon_and_leaves_no_process() {
    let mut pair = Pair::running();
    let children: Vec<_> = both(&pair).into_values().collect();
    // In the middle of work, too.
    for number in 0..50 {
        pair.cloud.save(&format!("Plans/{number}.md"), "a note\n");
    }
    for node in [&mut pair.local, &mut pair.cloud] {
        let (code, took) = node.stop();
        assert_eq!(code, Some(0), "{}: {}", node.role, node.last_words());
        assert!(took <= STOP_MAX, "{} took {took:?} to stop", node.role);
        assert!(!node.home.join("run/control.sock").exists(), "{}", node.role);
    }
    assert!(children.iter().all(|pid| !is_alive(*pid)), "{children:?}");
    pair.cloud.start();
    pair.local.start();
    pair.wait_same("all goes on", |files| files.len() == 50);
}

#[test]
fn processes_of_a_killed_supervisor_end_by_themselves() {
    let mut pair = Pair::running();
    let children: Vec<_> = both(&pair).into_values().collect();
    signal(pair.local.pid(), Signal::KILL);
    pair.local.ended();
    assert!(becomes(PATIENCE, || children.iter().all(|pid| !is_alive(*pid))), "{children:?}");
    pair.local.start();
}

#[test]
fn mesh_and_executor_are_processes_of_their_own_and_the_mesh_is_walled_in() {
    let pair = Pair::running();
    let processes = both(&pair);
    let (mesh, executor) = (processes["mesh"], processes["executor"]);
    assert!(mesh != executor && mesh != pair.local.pid() && executor != pair.local.pid());
    // A wall of the kernel cannot be had without giving up new privileges, for each of the threads.
    for thread in fs::read_dir(format!("/proc/{mesh}/task")).expect("the mesh's threads").flatten() {
        let id = thread.file_name().to_str().and_then(|id| id.parse().ok()).expect("a thread's id");
        assert_eq!(status_field(id, "NoNewPrivs").as_deref(), Some("1"), "thread {id}");
    }
    if pair.local.log().contains("boundary off") {
        skip("this kernel has no landlock, so the wall around the mesh process was not seen");
    }
    // What a process opened it can read: neither holds the other's.
    let open = |pid: u32| -> Vec<String> {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        files.filter_map(|file| Some(fs::read_link(file.path()).ok()?.to_string_lossy().into_owned())).collect()
    };
    for folder in ["keys", "executor", "approved"] {
        let folder = pair.local.home.join(folder).to_string_lossy().into_owned();
        assert!(!open(mesh).iter().any(|path| path.starts_with(&folder)), "{:?}", open(mesh));
    }
    let store = pair.local.home.join("mesh").to_string_lossy().into_owned();
    assert!(!open(executor).iter().any(|path| path.starts_with(&store)), "{:?}", open(executor));
}

#[test]
fn an_executor_that_is_killed_is_started_again_and_sends_once() {
    let pair = Pair::running();
    pair.cloud.drop_mail("order.eml", MAIL);
    pair.wait("the draft arrives", |pair| !pair.local.approvals_in("pending").is_empty());
    let first = executor(&pair).expect("the executor runs");
    signal(first, Signal::KILL);
    let id = pair.local.approvals_in("pending").pop().expect("a draft");
    pair.local.must(&["approvals", "approve", &id]);
    pair.wait("another executor runs", |pair| executor(pair).is_some_and(|pid| pid != first));
    pair.wait("it sends", |pair| pair.local.outbox().len() == 1);
    assert!(pair.local.log().contains("the executor ended; it is started again"), "{}", pair.local.log());
    let second = executor(&pair).expect("the executor runs");
    signal(second, Signal::KILL);
    pair.wait("a third runs", |pair| executor(pair).is_some_and(|pid| pid != second));
    pair.wait_same("it is filed", |files| files.keys().any(|path| path.starts_with("Done/email/REPLY_")));
    assert_eq!(pair.local.outbox().len(), 1);
}

#[test]
fn a_mesh_that_dies_ends_the_node_so_that_whoever_started_it_learns_of_it() {
    let mut pair = Pair::running();
    let processes = both(&pair);
    signal(processes["mesh"], Signal::KILL);
    assert_ne!(pair.local.ended(), Some(0));
    assert!(processes.values().all(|pid| !is_alive(*pid)), "{processes:?}");
    pair.local.start();
}

#[test]
fn whatever_approves_or_sends_refuses_a_cloud_home() {
    let pair = Pair::paired();
    for command in
        [&["process", "executor"][..], &["approvals"], &["approvals", "approve", "00"], &["secrets", "add", "x"]]
    {
        let refused = pair.cloud.refused(command);
        assert_eq!(refused.code, Some(78), "{command:?}: {}", refused.said);
    }
    pair.cloud.refused(&["approvals"]).assert(78, &["this is a Cloud node", "Run this on the Local node"]);
    pair.cloud.refused(&["secrets", "add", "x"]).assert(78, &["this is a Cloud node", "Run this on the Local node"]);
}

#[test]
fn a_cloud_that_is_not_paired_ingests_nothing_until_it_is() {
    let mut pair = Pair::strangers();
    pair.cloud.drop_mail("order.eml", MAIL);
    pair.cloud.save("Plans/note.md", "a note\n");
    pair.cloud.start();
    pair.wait("it says that it is not paired", |pair| pair.cloud.log().contains("not paired yet"));
    assert_eq!(pair.cloud.stop().0, Some(0));
    assert_eq!(pair.cloud.read("Inbox/order.eml").as_deref(), Some(MAIL));
    assert!(!pair.cloud.home.join("mesh/store.sqlite").exists());
    assert_eq!(pair.cloud.shared().len(), 2);
    pair.pair(&[]);
    pair.local.start();
    pair.wait_same("now it does", |files| {
        files.contains_key("Plans/note.md") && files.keys().any(|path| path.starts_with("Pending_Approval/email/"))
    });
}

#[test]
fn a_cloud_that_takes_the_place_of_a_revoked_one_gets_the_whole_vault() {
    let mut pair = Pair::running();
    pair.save_on_both(&pair.cloud, "Plans/first.md", "by the first Cloud\n");
    pair.save_on_both(&pair.local, "Plans/answer.md", "by Local, who had seen it\n");
    pair.cloud.stop();
    pair.local.must(&["peers", "revoke", "cloud"]);
    let dir = tempfile::tempdir().expect("a temporary folder");
    pair.cloud = Node::init(dir.path(), "cloud", &[]);
    pair.cloud.configure(&format!("listen = [\"/ip4/127.0.0.1/tcp/{}\"]\n", free_port()));
    pair.pair(&[]);
    let all = ["Plans/first.md", "Plans/answer.md"];
    pair.wait_same("the new Cloud has all of it", |files| all.iter().all(|path| files.contains_key(*path)));
    pair.save_on_both(&pair.cloud, "Plans/second.md", "by the second Cloud\n");
}
