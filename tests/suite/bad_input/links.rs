//! Links in the vault: nothing is read or written through them.

use std::{fs, os::unix::fs::symlink};

use crate::node::Pair;

#[test]
fn links_in_the_vault_do_not_sync_and_what_they_lead_to_is_untouched() {
    let pair = Pair::running();
    let outside = pair.dir().join("outside");
    fs::create_dir(&outside).expect("a folder");
    let secret = outside.join("secret.md");
    fs::write(&secret, "not yours\n").expect("a file");
    let plans = pair.cloud.vault.join("Plans");
    symlink(&secret, plans.join("soft.md")).expect("a link");
    symlink(&outside, plans.join("folder")).expect("a link");
    symlink("/etc/hostname", plans.join("host.md")).expect("a link");
    symlink("nowhere", plans.join("dangling.md")).expect("a link");
    symlink("loop.md", plans.join("loop.md")).expect("a link");
    fs::hard_link(&secret, plans.join("hard.md")).expect("a link");
    pair.cloud.save("Plans/good.md", "good\n");
    pair.wait("the good one arrives", |pair| pair.local.read("Plans/good.md").is_some());
    pair.wait("the links are told", |pair| {
        let log = pair.cloud.log();
        log.contains("reason=\"symlink\"") && log.contains("reason=\"hard_link\"")
    });
    pair.cloud.save("Plans/later.md", "later\n");
    pair.wait("a later one arrives", |pair| pair.local.read("Plans/later.md").is_some());
    let arrived: Vec<_> = fs::read_dir(pair.local.vault.join("Plans")).expect("a folder").flatten().collect();
    let mut names: Vec<_> = arrived.iter().map(|file| file.file_name()).collect();
    names.sort();
    assert_eq!(names, ["email", "good.md", "later.md"]);
    assert_eq!(fs::read(&secret).expect("it is there"), b"not yours\n");
}

#[test]
fn nothing_is_written_through_links_that_lie_where_a_note_belongs() {
    let pair = Pair::running();
    let outside = pair.dir().join("outside");
    fs::create_dir(&outside).expect("a folder");
    let target = outside.join("target.md");
    fs::write(&target, "mine\n").expect("a file");
    let plans = pair.local.vault.join("Plans");
    symlink(&target, plans.join("note.md")).expect("a link");
    symlink(&outside, plans.join("folder")).expect("a link");
    symlink(outside.join("absent.md"), plans.join("dangling.md")).expect("a link");
    for path in ["Plans/note.md", "Plans/folder/target.md", "Plans/folder/new.md", "Plans/dangling.md"] {
        pair.cloud.save(path, "from cloud\n");
    }
    pair.wait("it is told with what to do", |pair| {
        pair.local.log().contains("something that does not sync is in its way; see mesh/holds")
    });
    pair.cloud.save("Plans/good.md", "good\n");
    pair.wait("others still arrive", |pair| pair.local.read("Plans/good.md").is_some());
    assert_eq!(fs::read(&target).expect("it is there"), b"mine\n");
    let names: Vec<_> = fs::read_dir(&outside).expect("a folder").flatten().collect();
    assert_eq!(names.len(), 1, "{names:?}");
    assert!(fs::symlink_metadata(plans.join("note.md")).expect("the link is there").is_symlink());
    // Out of the way, the notes come.
    fs::remove_file(plans.join("note.md")).expect("the link goes");
    fs::remove_file(plans.join("folder")).expect("the link goes");
    fs::remove_file(plans.join("dangling.md")).expect("the link goes");
    pair.wait_same("the notes arrive", |files| files.contains_key("Plans/folder/new.md"));
    assert_eq!(fs::read(&target).expect("it is there"), b"mine\n");
}
