//! What `conflicts` tells of real nodes: all of it, also at once after a start.

use std::fs;

use crate::node::{Node, Pair};

const AT: &str = "Plans/a.md";

fn field_ids(node: &Node) -> Vec<String> {
    let listed = node.json(&["conflicts", "list", "--json"]);
    let items = listed["items"].as_array().expect("a list");
    items.iter().filter(|item| item["kind"] == "field").map(|item| item["id"].to_string()).collect()
}

#[test]
fn conflicts_and_saves_that_did_not_sync_are_listed_right_after_a_start() {
    let mut pair = Pair::running();
    let note = |status: &str| format!("---\nstatus: {status}\n---\nHello\n");
    pair.local.save(AT, note("open"));
    pair.wait_same("it arrives", |files| files.contains_key(AT));
    pair.local.stop();
    pair.cloud.save(AT, note("approved"));
    fs::write(pair.local.vault.join(AT), note("rejected")).expect("it is saved");
    pair.local.start();
    pair.wait("both list it", |pair| [&pair.local, &pair.cloud].iter().all(|node| field_ids(node).len() == 1));
    pair.cloud.save("Done/mine.md", "Cloud may not write here\n");
    let holds = |node: &Node| node.json(&["conflicts", "list", "--json"])["holds"].clone();
    pair.wait("the save is held", |pair| holds(&pair.cloud)[0]["reason"] == "not_writable");

    let ids = field_ids(&pair.local);
    for node in [&mut pair.local, &mut pair.cloud] {
        node.stop();
        node.start();
        let listed = node.json(&["conflicts", "list", "--json"]);
        assert_eq!((field_ids(node), &listed["complete"]), (ids.clone(), &true.into()), "{listed}");
    }
    let held = holds(&pair.cloud);
    assert_eq!((held[0]["path"].as_str(), held.as_array().map(Vec::len)), (Some("Done/mine.md"), Some(1)), "{held}");
    let kept = fs::read_to_string(held[0]["kept"][0].as_str().expect("a file")).expect("it is kept");
    assert_eq!(kept, "Cloud may not write here\n");
    let told = pair.cloud.must(&["conflicts"]);
    assert!(told.contains("held back     not_writable  Done/mine.md\n    what was saved: "), "{told}");
    let id = ids[0].trim_matches('"');
    let page = pair.local.must(&["conflicts", "show", &id[..8]]);
    assert!(page.contains("They started from\n    1 |   status: open\n\n1. "), "{page}");
    assert!(page.contains("    1 | - status: open\n      | + status: rejected\n"), "{page}");
    assert!(!page.contains('\u{1b}'), "no colours but at a terminal: {page}");
}
