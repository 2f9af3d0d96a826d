//! The gate: mail in while Local is off, drafted, approved, sent once, filed; told by `demo` with real processes.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

use crate::node::{binary, text};

const STEPS: [&str; 10] = [
    "mail_arrived",
    "drafted",
    "local_back",
    "merged",
    "shown",
    "approved",
    "sent",
    "done",
    "replay_refused",
    "edit_refused",
];

fn demo(temporary: &Path, args: &[&str]) -> Output {
    Command::new(binary()).arg("demo").args(args).env("TMPDIR", temporary).output().expect("the demo runs")
}

fn told(output: &Output) -> Value {
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("stdout is JSON alone")
}

#[test]
fn the_demo_tells_the_whole_story_sends_once_and_leaves_nothing() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let story = told(&demo(temporary.path(), &["--json"]));
    assert_eq!((&story["v"], &story["ok"], &story["sent_count"]), (&1.into(), &true.into(), &1.into()), "{story}");
    let steps = story["steps"].as_array().expect("there are steps");
    let names: Vec<_> = steps.iter().map(|step| step["name"].as_str().expect("a step has a name")).collect();
    assert_eq!(names, STEPS);
    assert!(steps.iter().all(|step| step["ms"].is_u64()), "{story}");
    let message_id = story["message_id"].as_str().expect("a Message-ID");
    assert!(message_id.starts_with('<') && message_id.ends_with("@example.test>"), "{message_id}");
    let left: Vec<_> = fs::read_dir(temporary.path()).expect("the folder is there").flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_demo_that_is_kept_can_be_looked_at() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let kept = temporary.path().join("kept");
    let story = told(&demo(temporary.path(), &["--json", "--keep", &kept.to_string_lossy()]));
    assert_eq!(story["home"].as_str(), kept.to_str());
    let sent: Vec<_> = fs::read_dir(kept.join("local-home/outbox/new")).expect("an outbox").flatten().collect();
    assert_eq!(sent.len(), 1);
    let mail = fs::read_to_string(sent[0].path()).expect("the mail that was sent");
    assert!(mail.contains(story["message_id"].as_str().expect("a Message-ID")), "{mail}");
    for role in ["cloud", "local"] {
        let done = fs::read_dir(kept.join(format!("{role}-vault/Done/email"))).expect("what is done").flatten();
        let names: Vec<_> = done.map(|file| file.file_name().to_string_lossy().into_owned()).collect();
        for kind in ["EMAIL_", "PLAN_", "REPLY_"] {
            assert!(names.iter().any(|name| name.starts_with(kind) && name.ends_with(".md")), "{role}: {names:?}");
        }
    }
}

#[test]
fn a_demo_does_not_touch_a_folder_that_exists() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let taken = temporary.path().join("taken");
    fs::create_dir(&taken).expect("a folder");
    fs::write(taken.join("note.md"), "mine").expect("a note");
    let refused = demo(temporary.path(), &["--keep", &taken.to_string_lossy()]);
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stderr);
    assert!(said.contains(&*taken.to_string_lossy()) && said.contains("choose a folder that does not exist"), "{said}");
    let left: Vec<_> = fs::read_dir(&taken).expect("the folder is there").flatten().collect();
    assert_eq!(left.len(), 1);
    assert_eq!(fs::read_to_string(taken.join("note.md")).expect("the note is there"), "mine");
}
