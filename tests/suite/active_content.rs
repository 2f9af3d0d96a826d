//! Active content that Cloud wrote, end to end: it waits on Local until the person lets it.

use serde_json::Value;

use crate::node::{Node, Pair};

const NOTE: &str = "Plans/plan.md";
const DRAFT: &str = "Pending_Approval/email/a.md";
const ACTIVE_DRAFT: &str = "---\naction: email\nto: a@client.test\nsubject: Hi\n---\n\nHello\n\
                            <img src=https://track.test/secret.png>\n";

fn held(node: &Node) -> Vec<Value> {
    let items = node.json(&["conflicts", "list", "--json"])["items"].clone();
    let items = items.as_array().expect("a list").clone();
    items.into_iter().filter(|item| item["kind"] == "active_content").collect()
}

fn id_of(node: &Node, path: &str) -> String {
    let item = held(node).into_iter().find(|item| item["path"] == path).expect("it is held back");
    item["id"].as_str().expect("an id").to_owned()
}

#[test]
fn a_note_of_clouds_with_active_content_waits_for_the_person_and_blocks_its_draft() {
    let mut pair = Pair::running();
    pair.cloud.save(NOTE, "# Plan\n\nfirst\n");
    pair.wait_same("the note arrives", |files| files.len() == 1);
    pair.cloud.save(NOTE, "# Plan\n\nfirst\n\n![x](https://track.test/pixel-of-somebody-who-looks-on.png)\n");
    pair.cloud.save(DRAFT, ACTIVE_DRAFT);
    pair.wait("both are held back", |pair| held(&pair.local).len() == 2);
    assert_eq!(pair.local.read(NOTE).as_deref(), Some(&b"# Plan\n\nfirst\n"[..]), "it is shown as it was");
    assert_eq!((pair.local.read(DRAFT), held(&pair.cloud).len()), (None, 0));
    let listed = pair.local.must(&["conflicts"]);
    let line = "line 5: loads from elsewhere: ![x](https://track.test/pixel-of-somebod\u{2026}";
    assert!(listed.contains(line), "{listed}");
    assert_eq!(pair.local.json(&["status", "--json"])["conflicts"], 2);

    let draft = pair.local.approvals().into_iter().find(|item| item["path"] == DRAFT).expect("the draft is listed");
    let blocked = &draft["blocked_by"][0];
    assert_eq!(blocked, "active content in line 8 (HTML that loads or runs) that is not released");
    let action = draft["id"].as_str().expect("an ID");
    pair.local
        .refused(&["approvals", "approve", action])
        .assert(1, &["active content in line 8", "aiemp-node conflicts"]);

    pair.local.stop();
    pair.local.start();
    pair.wait("both are held back after a restart", |pair| held(&pair.local).len() == 2);
    let (note, own) = (id_of(&pair.local, NOTE), id_of(&pair.local, DRAFT));
    let refused = pair.local.refused(&["conflicts", "resolve", &note, "--take", "both"]);
    refused.assert(2, &["one text", "--release"]);
    let shown = pair.local.must(&["conflicts", "show", &note]);
    assert!(shown.contains("pixel-of-somebody-who-looks-on.png") && shown.contains("\n2. cloud, 20"), "{shown}");
    pair.local.must(&["conflicts", "resolve", &note, "--release"]);
    pair.local.must(&["conflicts", "resolve", &own, "--release"]);
    pair.wait_same("what is released is shown", |files| files.len() == 2);
    pair.local.must(&["approvals", "approve", action]);
    pair.wait("it is sent", |pair| pair.local.outbox().len() == 1);
    assert!(held(&pair.local).is_empty());
}

#[test]
fn a_note_that_hides_characters_is_left_as_it_is_and_doctor_spells_its_lines() {
    let pair = Pair::running();
    let text = "Hello \u{1f469}\u{200d}\u{1f4bb}\n\npay \u{202e}eciovni\u{202c} at https://good\u{200b}.test\n";
    pair.cloud.save(NOTE, text);
    pair.wait("it arrives", |pair| pair.local.read(NOTE).as_deref() == Some(text.as_bytes()));
    let told = pair.local.must(&["doctor"]);
    let line = "Plans/plan.md shows something else than it says in line 3: pay [U+202E RIGHT-TO-LEFT OVERRIDE]eciovni";
    assert!(told.contains(line) && !told.contains('\u{202e}'), "{told}");
    pair.local.save(NOTE, "Hello\n");
    let clear = "no shared note hides characters or turns text around";
    assert!(pair.local.must(&["doctor"]).contains(clear));
}
