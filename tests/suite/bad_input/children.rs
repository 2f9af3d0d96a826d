//! Processes of a node that do not end when they are asked to: the node ends in time, and they end with it.

use std::{fs, time::Duration};

use rustix::process::Signal;

use crate::node::{Node, PATIENCE, Pair, all_processes, becomes, free_port, signal, status_field};

/// Systemd ends everything after 30 s; by then the node has done it itself.
const IN_TIME: Duration = Duration::from_secs(25);

const MAIL: &[u8] = b"From: a@client.test\r\nTo: me@example.test\r\nSubject: order\r\n\r\nHello\r\n";

fn is_alive(pid: u32) -> bool {
    status_field(pid, "State").is_some_and(|state| !state.starts_with('Z'))
}

/// Processes that a process started.
fn children_of(parent: u32) -> Vec<u32> {
    let is_child = |pid: &u32| status_field(*pid, "PPid").is_some_and(|found| found == parent.to_string());
    all_processes().into_iter().filter(is_child).collect()
}

fn ends_in_time(node: &mut Node, others: &[u32]) {
    let (_, took) = node.stop();
    assert!(took < IN_TIME, "the node took {took:?}");
    let gone = becomes(PATIENCE, || others.iter().all(|pid| !is_alive(*pid)));
    assert!(gone, "left behind: {:?}", others.iter().filter(|pid| is_alive(**pid)).collect::<Vec<_>>());
}

#[test]
fn an_executor_that_hears_nothing_is_ended_and_holds_nobody_up() {
    let mut pair = Pair::running();
    pair.wait("both run", |pair| pair.local.processes().len() == 2);
    let executor = pair.local.processes()["executor"];
    signal(executor, Signal::STOP);
    ends_in_time(&mut pair.local, &[executor]);
    pair.local.start();
    pair.cloud.drop_mail("order.eml", MAIL);
    pair.wait("it works on", |pair| !pair.local.approvals_in("pending").is_empty());
}

#[test]
fn a_decoder_that_hangs_ends_with_its_node() {
    let mut pair = Pair::running();
    pair.local.save("Plans/a.md", "one\n");
    pair.wait("the note arrives", |pair| pair.cloud.read("Plans/a.md").is_some());
    pair.local.save("Plans/a.md", "one\ntwo\n");
    pair.wait("a change is decoded", |pair| {
        pair.cloud.read("Plans/a.md").is_some_and(|bytes| bytes.ends_with(b"two\n"))
    });
    let keeper = pair.cloud.processes()["decoder-keeper"];
    let decoders = children_of(keeper);
    assert_eq!(decoders.len(), 1);
    signal(decoders[0], Signal::STOP);
    ends_in_time(&mut pair.cloud, &[decoders[0], keeper]);
}

#[test]
fn a_brain_that_ignores_everything_ends_with_its_node_and_so_does_what_it_started() {
    let mut pair = Pair::strangers();
    let outside = pair.dir().join("outside");
    fs::create_dir(&outside).expect("made");
    let pids = outside.join("pids");
    let script = format!("trap '' TERM INT HUP; sleep 600 & echo $$ $! > {}; wait; sleep 600", pids.display());
    let command = serde_json::json!(["/bin/sh", "-c", script]);
    let listen = format!("listen = [\"/ip4/127.0.0.1/tcp/{}\"]\n", free_port());
    pair.cloud
        .configure(&format!("{listen}[brain]\nkind = \"command\"\ncommand = {command}\nwrites = [{outside:?}]\n"));
    pair.pair(&[]);
    pair.cloud.drop_mail("order.eml", MAIL);
    let started = || -> Vec<u32> {
        let text = fs::read_to_string(&pids).unwrap_or_default();
        text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
    };
    pair.wait("the brain is asked", |_| started().len() == 2);
    let brain = started();
    assert!(brain.iter().all(|pid| is_alive(*pid)));
    ends_in_time(&mut pair.cloud, &brain);
}
