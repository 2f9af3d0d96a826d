//! The vault's folder moved away, replaced, or mounted over: nothing counts as removed, and all goes on once it is back.

use std::{fs, path::Path, process::Command, thread, time::Duration};

use serde_json::Value;

use crate::{
    deploy::skip,
    node::{Node, PATIENCE, Pair, becomes, text},
};

const NOTES: usize = 6;

/// Two nodes with few notes: so few that no count would hold their removal.
fn with_notes() -> Pair {
    let pair = Pair::running();
    for number in 0..NOTES {
        pair.local.save(&format!("Plans/note-{number}.md"), format!("note {number}\nlast\n"));
    }
    pair.wait_same("the notes are on both sides", |files| files.len() == NOTES);
    pair
}

fn troubles(node: &Node) -> Vec<Value> {
    node.json(&["status", "--json"])["vault"].as_array().cloned().expect("a list")
}

fn wait_away(pair: &Pair, words: &str) {
    pair.wait("it is told that the vault is away", |pair| {
        troubles(&pair.local).iter().any(|trouble| trouble["what"].as_str().is_some_and(|what| what.contains(words)))
    });
}

/// The mesh serves meanwhile, and nothing is archived by it.
fn assert_goes_on(pair: &Pair, name: &str) {
    pair.cloud.save(name, "made while the vault was away\n");
    pair.wait("the logs are in step", |pair| {
        let status = pair.cloud.json(&["status", "--json"]);
        status["settled"] == true && status["peers"][0]["lag_entries"] == 0
    });
    assert_eq!(pair.cloud.named("Plans", "note-", ".md").len(), NOTES, "{:?}", pair.cloud.files("Plans").keys());
}

fn doctor(node: &Node) -> (Option<i32>, String) {
    let output = node.run(&["doctor"]);
    (output.status.code(), text(&output.stdout))
}

#[test]
fn a_vault_that_was_moved_away_and_back_has_lost_nothing_and_its_edits_are_taken() {
    let pair = with_notes();
    let elsewhere = pair.dir().join("elsewhere");
    fs::rename(&pair.local.vault, &elsewhere).expect("moved away");
    wait_away(&pair, "the vault is not at");
    let (code, said) = doctor(&pair.local);
    assert!(code == Some(1) && said.contains("Mount it, or move it back."), "{said}");
    assert!(pair.local.must(&["status"]).contains("VAULT      the vault is not at"));
    assert_goes_on(&pair, "Plans/meanwhile.md");
    fs::write(elsewhere.join("Plans/note-1.md"), "note 1\nedited meanwhile\nlast\n").expect("edited");
    assert!(!pair.local.vault.exists(), "nothing is made in its place");
    fs::rename(&elsewhere, &pair.local.vault).expect("moved back");
    pair.wait_same("it goes on", |files| {
        files.contains_key("Plans/meanwhile.md") && files["Plans/note-1.md"] == b"note 1\nedited meanwhile\nlast\n"
    });
    pair.wait("all is well", |pair| troubles(&pair.local).is_empty());
    assert_eq!(pair.local.files("Plans").len(), NOTES + 1);
}

#[test]
fn an_empty_folder_in_the_vaults_place_is_filled_only_when_the_person_says_so() {
    let pair = with_notes();
    let refused = pair.local.refused(&["vault", "fill"]);
    refused.assert(1, &["the vault is in its place", "Nothing was changed"]);
    fs::remove_dir_all(&pair.local.vault).expect("deleted");
    fs::create_dir(&pair.local.vault).expect("made anew");
    wait_away(&pair, "is not this node's vault");
    assert!(doctor(&pair.local).1.contains("aiemp-node vault fill"));
    assert_goes_on(&pair, "Plans/meanwhile.md");
    let lying = || fs::read_dir(&pair.local.vault).expect("listed").count();
    assert_eq!(lying(), 0, "nothing is written there");
    pair.local.must(&["vault", "fill"]);
    pair.wait_same("all files come back", |files| files.len() == NOTES + 1);
    pair.wait("all is well", |pair| troubles(&pair.local).is_empty());
    pair.local.save("Plans/after.md", "after\n");
    pair.wait_same("it goes on", |files| files.contains_key("Plans/after.md"));
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp runs");
    assert!(copied.success());
}

#[test]
fn a_copy_of_the_vault_in_its_place_is_taken_up_by_a_process_that_starts_anew() {
    let mut pair = with_notes();
    for role in ["local", "cloud"] {
        let node = if role == "local" { &pair.local } else { &pair.cloud };
        let (vault, spare) = (node.vault.clone(), pair.dir().join(format!("{role}-copy")));
        copy(&vault, &spare);
        fs::remove_dir_all(&vault).expect("deleted");
        let edited = format!("note 2\nedited in the copy on {role}\nlast\n");
        fs::write(spare.join("Plans/note-2.md"), &edited).expect("edited");
        fs::rename(&spare, &vault).expect("put in its place");
        if role == "cloud" {
            assert_eq!(pair.cloud.ended(), Some(75), "{}", pair.cloud.last_words());
            pair.cloud.start();
        }
        pair.wait_same("the edit is taken", |files| {
            files.len() == NOTES && files["Plans/note-2.md"] == edited.as_bytes()
        });
    }
    assert!(pair.local.is_running());
}

/// Something mounted over a folder, until it is dropped.
struct Mounted<'p>(&'p Path);

impl<'p> Mounted<'p> {
    fn over(path: &'p Path) -> Option<Self> {
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs"]).arg(path);
        command.output().ok()?.status.success().then_some(Self(path))
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        Command::new("umount").arg("--lazy").arg(self.0).status().ok();
    }
}

#[test]
fn a_disk_that_is_mounted_over_the_vault_and_goes_changes_nothing() {
    let mut pair = with_notes();
    let vault = pair.local.vault.clone();
    let Some(mounted) = Mounted::over(&vault) else {
        skip("only root can mount a disk over a vault");
        return;
    };
    wait_away(&pair, "is not this node's vault");
    assert_goes_on(&pair, "Plans/first.md");
    drop(mounted);
    pair.wait_same("it goes on", |files| files.len() == NOTES + 1);
    // A start finds what a disk that was not mounted leaves: an empty folder.
    pair.local.stop();
    let mounted = Mounted::over(&vault);
    pair.local.start();
    wait_away(&pair, "is not this node's vault");
    assert_goes_on(&pair, "Plans/second.md");
    drop(mounted);
    pair.wait_same("it opens the vault by itself", |files| files.len() == NOTES + 2);
    pair.wait("all is well", |pair| troubles(&pair.local).is_empty());
}

#[test]
fn the_nodes_own_folder_in_the_vault_that_is_deleted_is_told_and_made_again() {
    let pair = with_notes();
    fs::remove_dir_all(pair.local.vault.join(".aiemp")).expect("deleted");
    pair.wait("it is told", |pair| pair.local.log().contains("the folder .aiemp was deleted from the vault at"));
    pair.local.save("Plans/meanwhile.md", "saved meanwhile\n");
    pair.cloud.save("Plans/note-1.md", "note 1\nby cloud\nlast\n");
    pair.wait_same("it goes on", |files| {
        files.len() == NOTES + 1 && files["Plans/note-1.md"] == b"note 1\nby cloud\nlast\n"
    });
    pair.wait("all is well", |pair| troubles(&pair.local).is_empty());
    assert!(pair.local.vault.join(".aiemp").is_dir());
}

#[test]
fn a_node_whose_vault_is_missing_starts_makes_none_and_waits_for_it() {
    let mut pair = with_notes();
    let elsewhere = pair.dir().join("elsewhere");
    pair.local.stop();
    fs::rename(&pair.local.vault, &elsewhere).expect("moved away");
    let (code, said) = doctor(&pair.local);
    assert!(code == Some(1) && said.contains("the vault is not at"), "{said}");
    pair.local.start();
    wait_away(&pair, "the vault is not at");
    assert_goes_on(&pair, "Plans/meanwhile.md");
    assert!(!pair.local.vault.exists());
    fs::write(&pair.local.vault, "no folder").expect("written");
    let said = doctor(&pair.local).1;
    assert!(
        said.contains("is not a folder\n         Move what lies there to another place, and the vault's folder"),
        "{said}"
    );
    fs::remove_file(&pair.local.vault).expect("removed");
    fs::rename(&elsewhere, &pair.local.vault).expect("moved back");
    pair.wait_same("it goes on", |files| files.len() == NOTES + 1);
}

/// A folder is moved out of the vault and back as it was: nothing of its files says that they were away.
#[test]
fn a_folder_that_was_moved_out_and_back_is_whole_on_both_sides_however_long_it_was_away() {
    const FEW: usize = 3;
    const MANY: usize = 40;
    let pair = Pair::running();
    for number in 0..MANY {
        pair.local.save(&format!("Plans/many/note-{number:02}.md"), format!("note {number}\n"));
    }
    for number in 0..FEW {
        pair.local.save(&format!("Plans/few/note-{number}.md"), format!("few {number}\n"));
        pair.cloud.save(&format!("Plans/theirs/note-{number}.md"), format!("theirs {number}\n"));
    }
    let all = MANY + 2 * FEW;
    pair.wait_same("the notes are on both sides", |files| files.len() == all);
    let elsewhere = pair.dir().join("elsewhere");
    let away = |folder: &str, between: &dyn Fn()| {
        let inside = pair.local.vault.join(folder);
        fs::rename(&inside, &elsewhere).expect("moved out");
        between();
        fs::rename(&elsewhere, &inside).expect("moved back");
    };
    for folder in ["Plans/few", "Plans/theirs"] {
        // Seen to be gone, and back before that counts as a removal.
        away(folder, &|| thread::sleep(Duration::from_millis(250)));
        thread::sleep(Duration::from_secs(2));
        pair.wait_same("nothing was removed", |files| files.len() == all);
        away(folder, &|| pair.wait("they are removed", |pair| pair.cloud.files("Plans").len() == all - FEW));
        pair.wait_same("they are back", |files| files.len() == all);
    }
    let is_told = || !troubles(&pair.local).is_empty();
    away("Plans/many", &|| pair.wait("many are gone", |_| is_told()));
    pair.wait("nothing waits any more", |_| !is_told());
    pair.wait_same("nothing was removed", |files| files.len() == all);
}

#[test]
fn many_files_that_vanish_are_told_and_decided_by_command() {
    const MANY: usize = 16;
    let mut pair = Pair::running();
    for number in 0..MANY {
        pair.local.save(&format!("Plans/note-{number:02}.md"), format!("note {number}\n"));
    }
    pair.wait_same("the notes are on both sides", |files| files.len() == MANY);
    let vanish = |pair: &Pair| {
        for number in 0..12 {
            fs::remove_file(pair.local.vault.join(format!("Plans/note-{number:02}.md"))).expect("removed");
        }
    };
    let item = |pair: &Pair| -> Option<String> {
        let listed = pair.local.json(&["conflicts", "list", "--json"]);
        let items = listed["items"].as_array().expect("a list").clone();
        let item = items.into_iter().find(|item| item["kind"] == "mass_removal")?;
        Some(item["id"].as_str().expect("an id").to_owned())
    };
    vanish(&pair);
    pair.wait("the item is there", |pair| item(pair).is_some());
    let id = item(&pair).expect("it stays");
    let shown = pair.local.must(&["conflicts", "show", &id]);
    assert!(shown.contains("12 files are gone here:") && shown.contains("Plans/note-00.md"), "{shown}");
    assert!(pair.local.must(&["status"]).contains("VAULT      12 files vanished within seconds"));
    let (code, said) = doctor(&pair.local);
    assert!(code == Some(1) && said.contains("`conflicts show ID` says how to decide"), "{said}");
    pair.local
        .refused(&["conflicts", "resolve", &id, "--with", "/dev/null"])
        .assert(2, &["--take local", "--take both"]);
    // Still so after a restart.
    assert_eq!(pair.local.stop().0, Some(0));
    pair.local.start();
    pair.wait("the item is there again", |pair| item(pair).is_some());
    assert_eq!((pair.local.files("Plans").len(), pair.cloud.files("Plans").len()), (4, MANY));
    let id = item(&pair).expect("it stays");
    pair.local.must(&["conflicts", "resolve", &id, "--take", "both"]);
    pair.wait_same("they come back", |files| files.len() == MANY);
    vanish(&pair);
    pair.wait("the item is there once more", |pair| item(pair).is_some());
    let id = item(&pair).expect("it stays");
    pair.local.must(&["conflicts", "resolve", &id, "--take", "local"]);
    pair.wait_same("they are removed everywhere", |files| files.len() == 4);
    assert!(item(&pair).is_none() && troubles(&pair.local).is_empty());
}

#[test]
fn a_folder_that_is_the_vault_of_a_node_is_taken_by_no_other_while_that_has_its_home() {
    let mut pair = with_notes();
    let vault = pair.local.vault.to_string_lossy().into_owned();
    let home = pair.local.home.to_string_lossy().into_owned();
    let init = ["init", "--role", "local", "--vault", &vault, "--unprotected-keys"];
    let second = Node::at(&pair.dir().join("second"), "local");
    second.refused(&init).assert(1, &["is the vault of the node at", &home, "--vault DIR", "vault-of-"]);
    assert!(!second.home.exists(), "nothing was made");
    // Nor by one whose settings were changed.
    let mut other = Node::init(&pair.dir().join("other"), "local", &[]);
    other.vault = pair.local.vault.clone();
    other.configure("");
    other.start();
    let told = troubles(&other);
    assert!(told.iter().any(|trouble| trouble["what"].as_str().is_some_and(|what| what.contains(&home))), "{told:?}");
    pair.local.save("Plans/after.md", "after\n");
    pair.wait_same("the owner goes on", |files| files.contains_key("Plans/after.md"));
    assert!(other.json(&["status", "--json"])["files"] == 0, "the other took nothing in");
    other.stop();
    pair.local.stop();
    let gone = pair.dir().join("gone");
    fs::rename(&home, &gone).expect("moved");
    second.must(&init);
}

#[test]
fn a_first_import_is_settled_when_it_is_through_and_not_before() {
    const MANY: u64 = 1500;
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut node = Node::init(dir.path(), "local", &[]);
    for number in 0..MANY {
        node.save(&format!("Private/{}/note-{number}.md", number % 7), format!("note {number}\n"));
    }
    node.start();
    let mut status = Value::Null;
    let is_settled = becomes(PATIENCE, || {
        status = node.json(&["status", "--json"]);
        status["settled"] == true
    });
    assert!(is_settled && status["files"] == MANY, "{status}");
}
