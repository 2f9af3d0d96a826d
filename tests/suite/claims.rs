//! Claims, end to end: a note that the person moves to their claim folder is theirs on both nodes, and listed.

use std::fs;

use crate::node::Pair;

#[test]
fn a_note_that_is_moved_to_a_claim_folder_is_claimed_and_listed_on_both_nodes() {
    let pair = Pair::running();
    let (free, mine) = ("Needs_Action/email/c7.md", "In_Progress/local/c7.md");
    pair.local.save(free, "one\n");
    pair.wait_same("it arrives", |files| files.len() == 1);
    let listed = || [&pair.local, &pair.cloud].map(|node| node.json(&["claims", "list", "--json"])["items"].clone());
    assert_eq!(listed(), [(); 2].map(|()| serde_json::json!([])));
    fs::create_dir_all(pair.local.vault.join("In_Progress/local")).expect("a claim folder");
    fs::rename(pair.local.vault.join(free), pair.local.vault.join(mine)).expect("it is moved");
    pair.wait("both list it", |_| listed().iter().all(|items| items[0]["path"] == mine));
    let [here, there] = listed();
    assert_eq!(here, there);
    assert_eq!((here[0]["node"].as_str(), &here[0]["until"]), (Some("local"), &serde_json::Value::Null));
    assert_eq!(here.as_array().map(Vec::len), Some(1));
    let told = pair.local.must(&["claims", "list"]);
    assert!(told.contains("local         by hand  In_Progress/local/c7.md"), "{told}");
}
