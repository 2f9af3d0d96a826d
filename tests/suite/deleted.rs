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

#[test]
fn a_folder_whose_last_note_went_on_the_other_side_goes_and_one_that_a_person_emptied_stays() {
    let pair = Pair::running();
    let is_folder = |at: &str| pair.local.vault.join(at).is_dir();
    pair.save_on_both(&pair.cloud, "Plans/2026/may/a.md", "a\n");
    pair.save_on_both(&pair.cloud, "Plans/mixed/b.md", "b\n");
    fs::write(pair.local.vault.join("Plans/mixed/.hidden"), "mine\n").expect("written");
    fs::remove_file(pair.cloud.vault.join("Plans/2026/may/a.md")).expect("deleted");
    fs::remove_file(pair.cloud.vault.join("Plans/mixed/b.md")).expect("deleted");
    pair.wait("the empty folder is gone", |_| !is_folder("Plans/2026"));
    pair.wait_same("the notes are gone", |files| files.is_empty());
    assert!(is_folder("Plans/mixed") && is_folder("Plans"), "what holds anything stays, and the layout");
    assert!(pair.cloud.vault.join("Plans/2026/may").is_dir(), "who deletes a note did not delete its folder");
    pair.save_on_both(&pair.cloud, "Plans/2026/may/c.md", "c\n");
}
