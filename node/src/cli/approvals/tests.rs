use aiemp_keys::Hash;
use aiemp_protocol::{ids::FileId, vault_path::VaultPath, zone::Zone};

use super::{
    listing::{items_json, lines_of},
    *,
};
use crate::shell::control::WireTrouble;

fn item(path: &str) -> Item {
    let file = FileId { zone: Zone::Drafts, hash: Hash::of_content(b"file") };
    Item {
        id: "0123456789abcdef".to_owned(),
        file,
        path: VaultPath::parse(path).expect("a path"),
        note: Vec::new(),
        author: "cloud".to_owned(),
        created: Timestamp::default(),
        blocked_by: Vec::new(),
        signature_asked: false,
        standing: None,
        draft: Err(Vec::new()),
    }
}

#[test]
fn what_a_path_hides_is_spelt_out_in_the_list() {
    let desk = Desk::default();
    assert_eq!(
        lines_of(&desk, &item("Pending_Approval/\u{202e}dm.x\u{200b}")),
        "0123456789ab  not_approvable  \
         Pending_Approval/[U+202E RIGHT-TO-LEFT OVERRIDE]dm.x[U+200B ZERO WIDTH SPACE]\n              "
    );
}

#[test]
fn an_action_that_failed_is_listed_once_as_the_draft_that_waits_again() {
    let receipt = |action: &str, outcome: &str| WireReceipt {
        action: action.to_owned(),
        work: "work".to_owned(),
        kind: "email".to_owned(),
        file: "file".to_owned(),
        nonce: "00".repeat(16),
        outcome: outcome.to_owned(),
        at_ms: 1,
        message_id: None,
        detail: "the server refused it".to_owned(),
        path: "Pending_Approval".to_owned(),
        standing: None,
    };
    let draft = item("Pending_Approval/email/a.md");
    let mut desk = Desk::default();
    desk.receipts = vec![receipt(&draft.id, "failed"), receipt("other", "failed"), receipt("sent", "sent")];
    desk.items.push(draft);
    let ids: Vec<_> = items_json(&desk).into_iter().map(|item| item["id"].clone()).collect();
    assert_eq!(ids, ["0123456789abcdef", "other", "sent"]);
    assert_eq!(items_json(&desk)[0]["failure"], "the server refused it");
}

fn a_home() -> (tempfile::TempDir, Home) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let home = Home::at(dir.path());
    std::fs::create_dir(home.keys()).expect("a folder");
    (dir, home)
}

fn as_shown(id: &str) -> Shown {
    let (file, path) = ("file".to_owned(), "Pending_Approval/email/REPLY_1.md".to_owned());
    Shown { id: id.to_owned(), file, path, text: format!("text of {id}") }
}

#[test]
fn the_newest_hundred_renders_are_kept() {
    let (_dir, home) = a_home();
    // IDs fall as time goes on, so that their order is not that of time.
    for n in (0..150).rev() {
        shown::remember(&home, as_shown(&format!("{n:03}"))).expect("written");
    }
    let ids = |home: &Home| shown::all(home).into_iter().map(|shown| shown.id).collect::<Vec<_>>();
    assert_eq!(ids(&home), (0..100).rev().map(|n| format!("{n:03}")).collect::<Vec<_>>());
    // Shown again, the oldest is the newest, and the next one goes.
    shown::remember(&home, as_shown("099")).expect("written");
    shown::remember(&home, as_shown("new")).expect("written");
    let ids = ids(&home);
    assert_eq!((ids.len(), ids[0].as_str(), ids[98].as_str(), ids[99].as_str()), (100, "097", "099", "new"));
    assert_eq!(shown::find(&home, "098"), None);
    assert_eq!(shown::find(&home, "new"), Some(as_shown("new")));
}

fn receipt(outcome: &str, folder: &str) -> WireReceipt {
    WireReceipt {
        action: "ab".repeat(32),
        work: String::new(),
        kind: "email".to_owned(),
        file: String::new(),
        nonce: String::new(),
        outcome: outcome.to_owned(),
        at_ms: 1_767_781_800_000,
        message_id: None,
        detail: String::new(),
        standing: None,
        path: folder.to_owned(),
    }
}

#[test]
fn what_is_approved_and_not_sent_says_what_it_waits_for() {
    let mut desk = Desk::default();
    desk.receipts.push(receipt("approved", "Approved"));
    let on_its_way = "the executor has it; it is sent as soon as its hand and the policy allow it";
    assert_eq!(items_json(&desk)[0]["summary"], on_its_way);
    let item = item("Pending_Approval/email/a.md");
    desk.handed_in.waiting.insert(item.id.clone());
    desk.items.push(item);
    assert_eq!(items_json(&desk)[0]["waits_for"], "handed to the executor, which takes it up next");
    desk.handed_in.trouble = Some(WireTrouble { is_error: true, what: "it is down".into(), fix: "Mend it.".into() });
    for (at, key) in [(0, "waits_for"), (1, "summary")] {
        assert_eq!(items_json(&desk)[at][key], "it is down. Mend it.");
    }
}

#[test]
fn who_asks_for_a_filed_draft_is_told_to_put_it_back_first() {
    let (_dir, home) = a_home();
    let refused = |receipt: WireReceipt| {
        let id = receipt.action.clone();
        let mut desk = Desk::default();
        desk.receipts.push(receipt);
        find(&home, &desk, &id, false).expect_err("refused").to_string()
    };
    assert_eq!(
        refused(receipt("sent", "Done")),
        "already sent at 2026-01-07T10:30:00Z, and the draft was filed under Done/; nothing more is sent for it\n  \
         To have it sent a second time, copy its note under Done/ back to the same place under Pending_Approval/, \
         then approve it under the ID that `aiemp-node approvals` lists, with --again."
    );
    shown::remember(&home, as_shown(&"ab".repeat(32))).expect("written");
    assert_eq!(
        refused(receipt("sent", "Done")),
        "already sent at 2026-01-07T10:30:00Z, and the draft was filed under Done/; nothing more is sent for it\n  \
         To have it sent a second time, copy Done/email/REPLY_1.md back to Pending_Approval/email/REPLY_1.md, \
         then approve it under the ID that `aiemp-node approvals` lists, with --again."
    );
    let id = "ab".repeat(32);
    assert_eq!(
        refused(receipt("unknown", "Approved")),
        format!(
            "already tried, with an unknown end, at 2026-01-07T10:30:00Z, and the draft was filed under Approved/; \
             nothing more is sent for it\n  Say first how it ended: \
             `aiemp-node approvals settle {id} --sent` or `--not-sent`."
        )
    );
    assert_eq!(
        refused(receipt("approved", "Approved")),
        "already approved at 2026-01-07T10:30:00Z, and the draft was filed under Approved/; nothing more is sent \
         for it\n  Wait until it is sent or has failed: `aiemp-node approvals` tells which."
    );
}

#[test]
fn a_node_that_ended_on_a_full_disk_is_told_so() {
    let home = Home::at("/home/of/it");
    let full = not_running(&home, true);
    assert_eq!(full.message, "no node runs on /home/of/it, and the disk below it is full");
    assert!(full.fix.starts_with("Free some space, start it"));
    assert_eq!(not_running(&home, false).message, "no node runs on /home/of/it");
}
