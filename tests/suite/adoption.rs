//! Two vaults that were there before their nodes, in real processes: what is said before they are paired, and what comes
//! of it.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use serde_json::{Value, json};

use crate::{
    deploy::skip,
    node::{Node, Pair},
    terminal::Terminal,
};

/// Two homes whose vaults hold these notes.
fn strangers(local: &[(&str, &str)], cloud: &[(&str, &str)]) -> Pair {
    let pair = Pair::strangers();
    local.iter().for_each(|(at, text)| pair.local.save(at, text));
    cloud.iter().for_each(|(at, text)| pair.cloud.save(at, text));
    pair
}

fn members(node: &Node) -> usize {
    node.json(&["peers", "list", "--json"])["members"].as_array().map_or(0, Vec::len)
}

fn conflicts(node: &Node) -> Vec<Value> {
    node.json(&["conflicts", "--json"])["items"].as_array().cloned().expect("a listing has items")
}

fn is(node: &Node, at: &str, text: &str) -> bool {
    node.read(at).as_deref() == Some(text.as_bytes())
}

#[test]
fn two_vaults_are_paired_by_a_plan_that_comes_true() {
    let mut pair = strangers(
        &[
            ("Plans/same.md", "same\n"),
            ("Done/same.md", "done\n"),
            ("Plans/mine.md", "mine\n"),
            ("Plans/both.md", "here\n"),
            ("Done/both.md", "here\n"),
            ("Private/diary.md", "private\n"),
        ],
        &[
            ("Plans/same.md", "same\n"),
            ("Done/same.md", "done\n"),
            ("Plans/theirs.md", "theirs\n"),
            ("Plans/both.md", "there\n"),
            ("Done/both.md", "there too\n"),
            ("Done/theirs.md", "theirs\n"),
        ],
    );
    pair.cloud.start();
    let ticket = pair.invite();
    let said = pair.local.json(&["pair", "accept", &ticket, "--yes", "--json"]);
    let plan = json!({
        "known": true,
        "equal": { "count": 2, "first": ["Done/same.md", "Plans/same.md"] },
        "only_here": { "count": 1, "first": ["Plans/mine.md"] },
        "only_there": { "count": 1, "first": ["Plans/theirs.md"] },
        "different": { "count": 1, "first": ["Plans/both.md"] },
        "overruled": { "count": 1, "first": ["Done/both.md"] },
        "left_there": { "count": 1, "first": ["Done/theirs.md"] },
        "unlisted": 0,
        "shared_remotes": 0,
    });
    assert_eq!(said, json!({ "v": 1, "paired": "cloud", "plan": plan }));
    pair.local.start();
    let wanted: BTreeMap<String, Vec<u8>> = [
        ("Plans/same.md", "same\n"),
        ("Plans/mine.md", "mine\n"),
        ("Plans/theirs.md", "theirs\n"),
        ("Plans/both.md", "here\n"),
        ("Plans/both (2).md", "there\n"),
        ("Done/same.md", "done\n"),
        ("Done/both.md", "here\n"),
    ]
    .map(|(at, text)| (at.to_owned(), text.as_bytes().to_vec()))
    .into();
    pair.wait("what was said comes true", |pair| {
        let mut cloud = pair.cloud.shared();
        cloud.remove("Done/theirs.md") == Some(b"theirs\n".to_vec()) && cloud == wanted && pair.local.shared() == wanted
    });
    both_list_one_conflict_and_one_side_is_taken(&pair);
}

#[test]
fn a_node_that_joins_with_a_copy_of_the_vault_has_no_note_twice_whatever_was_done_since_the_first_start() {
    let mut pair = strangers(&[("Plans/edited.md", "first\n")], &[]);
    pair.local.start();
    let events = |pair: &Pair, at: &str| {
        let told = pair.local.run(&["history", at, "--json"]).stdout;
        serde_json::from_slice::<Value>(&told)
            .ok()
            .and_then(|told| told["events"].as_array().map(Vec::len))
            .unwrap_or(0)
    };
    pair.wait("Local knows its note", |pair| events(pair, "Plans/edited.md") == 1);
    pair.local.save("Plans/edited.md", "first\nsecond\n");
    pair.local.save("Plans/later.md", "later\n");
    pair.local.save("Done/later.md", "done\n");
    pair.wait("it knows what came later", |pair| {
        ["Plans/edited.md", "Plans/later.md", "Done/later.md"].map(|at| events(pair, at)) == [2, 1, 1]
    });
    for (at, text) in [
        ("Plans/edited.md", "first\nsecond\n"),
        ("Plans/later.md", "later\n"),
        ("Done/later.md", "done\n"),
        ("Plans/theirs.md", "theirs\n"),
    ] {
        pair.cloud.save(at, text);
    }
    pair.cloud.start();
    let ticket = pair.invite();
    let said = pair.local.json(&["pair", "accept", &ticket, "--yes", "--json"]);
    assert_eq!(
        (&said["plan"]["equal"]["count"], &said["plan"]["different"]["count"]),
        (&json!(3), &json!(0)),
        "{said}"
    );
    pair.wait_same("Cloud's note arrives", |files| files.contains_key("Plans/theirs.md"));
    // A note in whose place another was put would have a number.
    pair.local.save("Plans/edited.md", "first\nsecond\nthird\n");
    pair.wait_same("an edit arrives", |files| {
        files.get("Plans/edited.md").is_some_and(|text| text == b"first\nsecond\nthird\n")
    });
    assert_eq!(pair.cloud.shared().len(), 4, "{:?}", pair.cloud.shared().keys());
    assert!(conflicts(&pair.local).is_empty() && conflicts(&pair.cloud).is_empty());
}

fn both_list_one_conflict_and_one_side_is_taken(pair: &Pair) {
    pair.wait("both list the one conflict", |pair| {
        let ids = [&pair.local, &pair.cloud].map(|node| {
            let items = conflicts(node);
            items.iter().map(|item| (item["kind"].clone(), item["id"].clone())).collect::<Vec<_>>()
        });
        ids[0] == ids[1] && ids[0].iter().map(|(kind, _)| kind).collect::<Vec<_>>() == ["adoption"]
    });
    // The other note of the person's folders is kept for them.
    let holds = fs::read_dir(pair.cloud.home.join("mesh/holds")).expect("what is held").flatten();
    let held: Vec<_> = holds.filter_map(|held| fs::read(held.path()).ok()).collect();
    assert_eq!(held.iter().filter(|bytes| *bytes == b"there too\n").count(), 1, "{held:?}");
    assert!(!held.iter().any(|bytes| bytes == b"done\n"), "what is the same on both is no save of anybody: {held:?}");
    let item = conflicts(&pair.local)[0]["id"].as_str().expect("an id").to_owned();
    pair.local.must(&["conflicts", "resolve", &item, "--take", "cloud"]);
    pair.wait("Cloud's note has the name", |pair| {
        [&pair.local, &pair.cloud].iter().all(|node| {
            is(node, "Plans/both.md", "there\n")
                && node.read("Plans/both (2).md").is_none()
                && conflicts(node).is_empty()
        })
    });
}

#[test]
fn a_person_who_does_not_want_what_the_plan_says_pairs_nobody() {
    let mut pair = strangers(&[("Plans/mine.md", "mine\n")], &[("Plans/theirs.md", "theirs\n")]);
    pair.cloud.start();
    let ticket = pair.invite();
    let mut terminal = Terminal::run(&pair.local, &["pair", "accept", &ticket], "true");
    terminal.shows("Are they the same?");
    terminal.types("y");
    let came = terminal.shows("Pair the two?");
    for line in ["only here                     1  Plans/mine.md", "only there                    1  Plans/theirs.md"] {
        assert!(came.contains(line), "{came}");
    }
    terminal.types("n");
    terminal.shows("not paired: nothing was changed");
    assert_eq!((terminal.ends(), members(&pair.local)), (Some(1), 1));
    pair.wait("Cloud was told", |pair| pair.cloud.log().contains("the person did not want it"));
    assert!(!pair.cloud.home.join("run/control.sock").exists(), "it belongs to no mesh");
    let again = pair.invite();
    pair.local.must(&["pair", "accept", &again, "--yes"]);
}

/// Runs git as nobody in particular.
fn git(folder: &Path, args: &[&str]) {
    let settings = [("user.name", "Test"), ("user.email", "test@example.test"), ("init.defaultBranch", "main")];
    let settings = settings.iter().flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")]);
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(settings)
        .args(args)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .expect("git runs");
    assert!(output.status.success(), "git {args:?}: {}", crate::node::text(&output.stderr));
}

/// Every file below a folder, dot names and all.
fn tree(folder: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        if entry.path().is_dir() {
            tree(&entry.path(), found);
        } else {
            found.insert(entry.path().display().to_string(), fs::read(entry.path()).expect("a file"));
        }
    }
}

fn repositories(pair: &Pair) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    [&pair.local, &pair.cloud].iter().for_each(|node| tree(&node.vault.join(".git"), &mut found));
    found
}

#[test]
fn vaults_that_git_keeps_in_step_are_paired_once_the_person_says_so_and_their_repositories_stay_byte_for_byte() {
    if Command::new("git").arg("--version").output().is_err() {
        return skip("git is not installed, so no vault with a repository was taken over");
    }
    let mut pair = strangers(&[("Plans/plan.md", "one\n"), ("Done/old.md", "old\n")], &[]);
    let (shared, local, cloud) = (pair.dir().join("shared.git"), pair.local.vault.clone(), pair.cloud.vault.clone());
    git(pair.dir(), &["init", "--bare", "shared.git"]);
    let address = shared.display().to_string();
    for vault in [&local, &cloud] {
        git(vault, &["init"]);
    }
    git(&local, &["remote", "add", "origin", &address]);
    git(&cloud, &["remote", "add", "vault", &format!("file://{address}")]);
    git(&local, &["add", "--all"]);
    git(&local, &["commit", "--message", "The vault"]);
    git(&local, &["push", "origin", "HEAD:main"]);
    git(&cloud, &["fetch", "vault"]);
    git(&cloud, &["checkout", "-b", "main", "vault/main"]);
    assert!(is(&pair.cloud, "Plans/plan.md", "one\n"), "git brought it");
    let before = repositories(&pair);
    pair.cloud.start();
    let ticket = pair.invite();
    pair.local.refused(&["pair", "accept", &ticket, "--yes"]).assert(
        1,
        &["git keeps both vaults in step with `origin` (a folder)", "git remote remove NAME", "--accept-shared-remote"],
    );
    assert_eq!(members(&pair.local), 1);
    let again = pair.invite();
    pair.local.must(&["pair", "accept", &again, "--yes", "--accept-shared-remote"]);
    pair.local.start();
    pair.wait("Cloud is in the mesh", |pair| pair.cloud.home.join("run/control.sock").exists());
    // What is saved before a vault was looked through is what lay there, and not an edit of it.
    let is_settled = |node: &Node| node.json(&["status", "--json"])["settled"] == true;
    pair.wait("both vaults are taken up", |pair| is_settled(&pair.local) && is_settled(&pair.cloud));
    pair.local.save("Plans/plan.md", "one\ntwo\n");
    pair.wait_same("an edit arrives", |files| files.get("Plans/plan.md").is_some_and(|text| text == b"one\ntwo\n"));
    assert_eq!(pair.local.shared().len(), 2, "nothing is there twice");
    pair.local.stop();
    pair.cloud.stop();
    assert_eq!(repositories(&pair), before);
}

#[test]
fn init_says_what_it_found_in_the_vault_and_what_of_it_will_not_sync() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let vault = dir.path().join("vault");
    for (at, text) in [
        ("Plans/a.md", "a"),
        ("Done/b.md", "b"),
        ("Private/c.md", "c"),
        ("notes.md", "d"),
        ("Plans/.hidden", "e"),
        ("token.json", "f"),
        ("CLAUDE.md", "g"),
        ("Plans/bad:name.md", "h"),
    ] {
        let at = vault.join(at);
        fs::create_dir_all(at.parent().expect("a folder")).and_then(|()| fs::write(at, text)).expect("written");
    }
    std::os::unix::fs::symlink("/etc/passwd", vault.join("Plans/link.md")).expect("a link");
    let said = |role: &str| {
        let home = dir.path().join(format!("{role}-home"));
        let vault = vault.display().to_string();
        let mut command = Command::new(crate::node::binary());
        command.arg("--home").arg(home).args(["init", "--role", role, "--vault", &vault, "--unprotected-keys"]);
        let output = command.output().expect("the node's program runs");
        assert!(output.status.success());
        crate::node::text(&output.stderr)
    };
    let local = said("local");
    for line in [
        "found 8 names in the vault:",
        "     2  in folders that Cloud will share",
        "     2  in private folders, which stay on Local nodes",
        "     2  will not sync: names that hold credentials, or that agents take instructions from",
        "     1  will not sync: symbolic links",
        "     1  will not sync: names that not every system can write",
    ] {
        assert!(local.contains(line), "{line}: {local}");
    }
    let cloud = said("cloud");
    for line in [
        "     1  in folders that all members write",
        "     1  will not sync from here: in folders that only Local writes",
        "     2  will not sync from here: in private folders, which only Local nodes have",
    ] {
        assert!(cloud.contains(line), "{line}: {cloud}");
    }
    let empty = dir.path().join("empty");
    let output = Command::new(crate::node::binary())
        .args(["--home", &dir.path().join("empty-home").display().to_string(), "init", "--role", "cloud", "--vault"])
        .arg(&empty)
        .output()
        .expect("the node's program runs");
    assert!(!crate::node::text(&output.stderr).contains("found"), "of an empty vault there is nothing to say");
}
