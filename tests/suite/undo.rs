//! Undo, end to end: what Cloud did is taken back on both nodes, what the person did stays.

use crate::node::{Pair, text};

#[test]
fn what_cloud_did_in_the_last_hour_is_taken_back() {
    let pair = Pair::running();
    pair.local.save("Plans/plan.md", "# Plan\n\nfirst\nsecond\n");
    pair.wait_same("it arrives", |files| files.len() == 1);
    pair.cloud.save("Plans/plan.md", "# Plan\n\nsecond, or else\n");
    pair.cloud.save("Updates/spam.md", "buy from me\n");
    pair.wait_same("both arrive", |files| files.len() == 2);
    pair.local
        .refused(&["undo", "--author", "nobody", "--since", "1h"])
        .assert(1, &["no member is or was called nobody"]);
    pair.local.refused(&["undo", "--author", "cloud", "--since", "soon"]).assert(2, &["30m, 2h or 7d"]);
    pair.cloud.refused(&["undo", "--author", "cloud", "--since", "1h"]).assert(78, &["decided on Local alone"]);
    let told = pair.local.json(&["undo", "--author", "cloud", "--since", "1h", "--json"]);
    assert_eq!((&told["undone"], &told["left"]), (&2.into(), &serde_json::json!([])), "{told}");
    pair.wait_same("it is taken back everywhere", |files| {
        files.len() == 1 && files.values().all(|bytes| bytes == b"# Plan\n\nfirst\nsecond\n")
    });
}

#[test]
fn each_save_of_one_second_is_reached_by_its_number_and_a_restore_is_taken_back() {
    let pair = Pair::running();
    let at = "Plans/a.md";
    for text in ["one\n", "one\ntwo\n", "one\ntwo\nthree\n"] {
        pair.save_on_both(&pair.local, at, text);
    }
    let said = |when: &str| pair.local.must(&["history", at, "--at", when]);
    assert_eq!(["1", "2", "3"].map(said), ["one", "one\ntwo", "one\ntwo\nthree"]);
    pair.local.refused(&["history", at, "--at", "4"]).assert(2, &["has no line 4, of 3"]);
    pair.local.refused(&["history", "."]).assert(2, &["--at TIME"]);
    let events = pair.local.json(&["history", at, "--json"])["events"].clone();
    assert_eq!(events.as_array().map(Vec::len), Some(3));
    let output = pair.local.run(&["history", ".", "--at", "1", "--restore"]);
    assert_eq!(output.status.code(), Some(2), "the whole vault has no lines");
    let output = pair.local.run(&["history", at, "--at", "1", "--restore"]);
    let told = text(&output.stderr);
    pair.wait_same("it is as it was", |files| files[at] == b"one\n");
    let back =
        told.lines().find_map(|line| line.strip_prefix("To take this back: aiemp-node history 'Plans/a.md' --at "));
    let back = back.and_then(|back| back.strip_suffix(" --restore")).expect("it says how");
    pair.local.must(&["history", ".", "--at", back, "--restore"]);
    pair.wait_same("it is taken back", |files| files[at] == b"one\ntwo\nthree\n");
}
