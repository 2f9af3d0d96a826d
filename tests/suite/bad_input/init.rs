//! An init that ends before its end: the next one begins anew, and replaces no file of anybody's.

use std::{fs, process::Stdio, time::Duration};

use crate::{
    node::{Node, becomes, text},
    terminal::Terminal,
};

#[test]
fn an_init_that_is_killed_at_any_moment_is_begun_anew() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for role in ["local", "cloud"] {
        let mut interrupted = 0;
        for moment_us in (0..48_000).step_by(6_000) {
            let folder = dir.path().join(format!("{role}-{moment_us}"));
            fs::create_dir(&folder).expect("a folder");
            let node = Node::at(&folder, role);
            let vault = node.vault.to_string_lossy().into_owned();
            let init = ["init", "--role", role, "--vault", &vault, "--unprotected-keys"];
            let mut first = node.command(&init).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
            // The moment is what is drawn here; whether the command has ended by then is seen afterwards.
            becomes(Duration::from_micros(moment_us), || false);
            first.kill().ok();
            first.wait().expect("it ends");
            if node.home.join("config.toml").exists() {
                node.refused(&init).assert(1, &["holds a node already", "Nothing was changed"]);
            } else {
                interrupted += 1;
                node.must(&init);
            }
            let left: Vec<_> = fs::read_dir(node.home.join("keys")).expect("keys").flatten().collect();
            let expected = if role == "local" { 3 } else { 1 };
            assert_eq!(left.len(), expected, "{left:?}");
            assert!(text(&node.run(&["doctor"]).stdout).contains("config.toml reads"));
        }
        assert!(interrupted > 0, "no {role} init was interrupted");
    }
}

#[test]
fn a_home_that_an_init_left_half_made_is_begun_anew_and_one_without_settings_is_not() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut node = Node::init(dir.path(), "local", &[]);
    let vault = node.vault.to_string_lossy().into_owned();
    let init = ["init", "--role", "local", "--vault", &vault, "--unprotected-keys"];
    let key = node.home.join("keys/owner.key");
    let first = fs::read(&key).expect("the owner's keys");
    let settings = node.home.join("config.toml");
    fs::rename(&settings, dir.path().join("settings")).expect("moved");
    node.refused(&init).assert(1, &["no config.toml", "put its config.toml back", "Nothing was changed"]);
    assert_eq!(fs::read(&key).expect("the owner's keys"), first);
    // As an init leaves it that was ended before it wrote the settings.
    fs::write(node.home.join("init-begun"), "").expect("written");
    let again = node.run(&init);
    assert!(again.status.success() && text(&again.stderr).contains("is begun anew"), "{}", text(&again.stderr));
    assert_ne!(fs::read(&key).expect("the owner's keys"), first);
    assert!(!node.home.join("init-begun").exists());
    node.start();
    // One that ended right before its end is a node, and one that has run is no other's.
    fs::write(node.home.join("init-begun"), "").expect("written");
    node.refused(&init).assert(1, &["holds a node already"]);
    fs::remove_file(&settings).expect("it goes");
    node.refused(&init).assert(1, &["holds a node already"]);
}

#[test]
fn a_passphrase_that_protects_nothing_and_a_recovery_file_that_cannot_be_written_are_told_before_anything_is_made() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let node = Node::at(dir.path(), "local");
    let vault = node.vault.to_string_lossy().into_owned();
    let mut terminal = Terminal::run(&node, &["init", "--role", "local", "--vault", &vault], "true");
    terminal.shows("New passphrase");
    terminal.types("");
    terminal.shows("the passphrase is empty");
    assert_eq!(terminal.ends(), Some(1));
    let mut terminal = Terminal::run(&node, &["init", "--role", "local", "--vault", &vault], "true");
    terminal.shows("New passphrase");
    terminal.types("horse");
    terminal.shows("the passphrase has 5 characters, and needs 8");
    assert_eq!(terminal.ends(), Some(1));
    let short = dir.path().join("short");
    fs::write(&short, "pferde!\n").expect("written");
    let short = short.to_string_lossy().into_owned();
    let refusal = node.refused(&["init", "--role", "local", "--vault", &vault, "--passphrase-file", &short]);
    refusal.assert(1, &["the passphrase has 7 characters", "choose another", "Nothing was changed"]);
    let init = ["init", "--role", "local", "--vault", &vault, "--unprotected-keys", "--recovery-file"];
    let nowhere = dir.path().join("nowhere/words").to_string_lossy().into_owned();
    let refusal = node.refused(&[&init[..], &[&nowhere]].concat());
    refusal.assert(1, &["cannot be written to", "nowhere/words", "No node was made"]);
    assert!(!node.home.exists() && !node.vault.exists(), "nothing was made");
    let words = dir.path().join("words");
    node.must(&[&init[..], &[&words.to_string_lossy()]].concat());
    assert_eq!(fs::read_to_string(words).expect("the words").split_whitespace().count(), 24);
}

#[test]
fn recovery_words_replace_no_file() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let node = Node::at(dir.path(), "local");
    let vault = node.vault.to_string_lossy().into_owned();
    let file = dir.path().join("passphrase");
    fs::write(&file, "correct horse battery\n").expect("written");
    let file = file.to_string_lossy().into_owned();
    let init = ["init", "--role", "local", "--vault", &vault, "--passphrase-file", &file, "--recovery-file", &file];
    node.refused(&init).assert(1, &["exists already, and recovery words replace no file", "a name that is free"]);
    assert_eq!(fs::read_to_string(&file).expect("it is there"), "correct horse battery\n");
    assert!(!node.home.exists(), "nothing was made");
}
