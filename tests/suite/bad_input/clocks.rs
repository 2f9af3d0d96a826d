//! A clock that was wrong: the word of the person goes from the command to the executor.

use std::fs;

use crate::node::Pair;

#[test]
fn the_command_that_settles_the_clock_reaches_the_executor_and_counts_once() {
    let mut pair = Pair::paired();
    pair.cloud.refused(&["approvals", "settle-clock"]).assert(78, &["this is a Cloud node", "on the Local node"]);
    let said = pair.local.must(&["approvals", "settle-clock"]);
    assert!(said.contains("settled the clock"), "{said}");
    let approved = pair.local.home.join("approved");
    let word = fs::read_dir(&approved).expect("a folder").flatten().next().expect("the signed word").path();
    let bytes = fs::read(&word).expect("the signed word");
    pair.local.start();
    pair.wait("the executor takes it", |pair| pair.local.log().contains("the clock was settled"));
    pair.wait("the word is gone", |_| !word.exists());
    // Closed from the first moment: it is looked at at once.
    aiemp_keys::private_file::write_private(&word, &bytes).expect("put back");
    let refused = pair.local.home.join("executor/refused").join(word.file_name().expect("a name"));
    pair.wait("it is refused the second time", |_| refused.exists());
    assert!(pair.local.log().contains("as new or newer has been taken"), "{}", pair.local.last_words());
}
