//! A note that is deleted on one node while another edits it, end to end.

use std::fs;

use crate::node::Pair;

#[test]
fn a_note_deleted_while_its_node_was_down_and_edited_on_the_other_is_in_sight_and_listed() {
    let mut pair = Pair::running();
    let at = "Plans/offer.md";
    pair.local.save(at, "one\n");
    pair.wait_same("it arrives", |files| files.contains_key(at));
    pair.local.stop();
    fs::remove_file(pair.local.vault.join(at)).expect("it is deleted");
    pair.cloud.save(at, "one\ntwo\n");
    pair.local.start();
    pair.wait_same("it is back", |files| files.get(at).is_some_and(|text| text == b"one\ntwo\n"));
    let listed = || {
        [&pair.local, &pair.cloud].map(|node| {
            let items = node.json(&["conflicts", "list", "--json"])["items"].clone();
            (items[0]["kind"].as_str().map(str::to_owned), items[0]["id"].clone(), items[1].is_null())
        })
    };
    pair.wait("both list it", |_| {
        listed().iter().all(|(kind, _, only)| kind.as_deref() == Some("delete_edit") && *only)
    });
    assert_eq!(listed()[0], listed()[1]);
}
