//! Undo, end to end: what Cloud did is taken back on both nodes, what the person did stays.

use crate::node::Pair;

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
