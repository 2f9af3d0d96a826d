//! Notes that no parser likes: they sync byte for byte all the same.

use serde_json::Value;

use crate::node::{Node, Pair};

/// Notes by name, as people and their programs leave them behind.
fn odd_notes() -> Vec<(&'static str, Vec<u8>)> {
    let texts: [(&str, &str); 15] = [
        ("yaml.md", "---\nsubject: Re: [Invoice] for: January\n  - : }{\n\tTab: yes\n? \n---\n# Body\n"),
        ("injected.md", "---\nstatus: pending\nstatus: approved\n---\nTwo keys of one name.\n"),
        ("open.md", "---\nstatus: pending\n# The fence is never closed\n"),
        ("late.md", "# Heading first\n---\nstatus: pending\n---\nThen the front matter.\n"),
        ("only.md", "---\nstatus: pending\n---"),
        ("fences.md", "---\n---\n---\n"),
        ("crlf.md", "---\r\nstatus: pending\r\n---\r\nA line.\r\n\r\n"),
        ("mixed.md", "---\nstatus: pending\r\n---\nUnix.\nWindows.\r\nMac.\rEnd"),
        ("bom.md", "\u{feff}---\nstatus: pending\n---\nWith a mark.\n"),
        ("empty.md", ""),
        ("newline.md", "\n"),
        ("spaces.md", "   \n\t\n \n"),
        ("emoji.md", "---\ntitle: \u{1f9fe}\u{200d}\u{2764}\u{fe0f}\n---\n\u{202e}back\u{202c} e\u{301} \u{e9}\n"),
        ("deep.md", "---\na:\n  b:\n    c: [1, {d: *x}]\n!!python/object: y\n&anchor z: 1\n---\n"),
        ("data.json", "[{\"timestamp\": \"2026-01-07T10:30:00\"},\n {broken\n"),
    ];
    let mut notes: Vec<_> = texts.into_iter().map(|(name, text)| (name, text.as_bytes().to_vec())).collect();
    notes.push(("latin.md", b"---\nsubject: Gr\xfc\xdfe\n---\nSch\xf6ne Gr\xfc\xdfe\n".to_vec()));
    notes.push(("nul.md", b"text\0with\0zeros\n".to_vec()));
    notes.push(("long.md", [b"x".repeat(900_000), b"\n".to_vec()].concat()));
    notes.push(("lines.md", b"a\n".repeat(30_000)));
    notes.push(("large.md", b"# A note above the size of a note\n".repeat(40_000)));
    notes
}

/// Appends as an editor that knows the file does.
fn append(node: &Node, path: &str, more: &[u8]) -> Vec<u8> {
    let bytes = [node.read(path).expect("the note is there").as_slice(), more].concat();
    node.save(path, &bytes);
    bytes
}

#[test]
fn notes_that_are_no_yaml_sync_byte_for_byte_both_ways_and_stay_so_when_edited() {
    let pair = Pair::running();
    let mut wanted = Vec::new();
    for (name, bytes) in odd_notes() {
        for (node, side) in [(&pair.cloud, "cloud"), (&pair.local, "local")] {
            let path = format!("Plans/{side}/{name}");
            node.save(&path, &bytes);
            wanted.push((path, bytes.clone()));
        }
    }
    pair.wait_same("the notes arrive as they were saved", |files| {
        wanted.iter().all(|(path, bytes)| files.get(path) == Some(bytes))
    });
    // Each is edited by the side that did not make it.
    for (path, bytes) in &mut wanted {
        let node = if path.starts_with("Plans/cloud/") { &pair.local } else { &pair.cloud };
        *bytes = append(node, path, b"one more line");
    }
    pair.wait_same("the edits arrive as they were saved", |files| {
        wanted.iter().all(|(path, bytes)| files.get(path) == Some(bytes))
    });
    for node in [&pair.cloud, &pair.local] {
        let conflicts = node.json(&["conflicts", "list", "--json"]);
        assert_eq!(conflicts["items"], serde_json::json!([]), "{}", node.role);
    }
}

const BOILERPLATE: &str = "---\ntype: approval_request\naction: send_email\nto: a@client.test\nsubject: Invoice\n\
                           status: pending\n---\nHello,\n\nhere it is.\n\n## To Approve\nMove this file to /Approved.\n";

fn item_at(node: &Node, path: &str) -> Option<Value> {
    node.approvals().into_iter().find(|item| item["path"] == path)
}

#[test]
fn a_draft_of_the_blueprint_with_its_instructions_is_not_approvable_and_the_line_is_named() {
    let pair = Pair::running();
    let path = "Pending_Approval/email/EMAIL_invoice.md";
    pair.cloud.save(path, BOILERPLATE);
    pair.wait("the draft arrives", |pair| pair.local.read(path).is_some());
    let item = item_at(&pair.local, path).expect("the draft is listed");
    assert_eq!(item["state"], "not_approvable", "{item}");
    let summary = item["summary"].as_str().expect("a reason");
    assert!(summary.starts_with("line 12: "), "{summary}");
    let id = item["id"].as_str().expect("an ID");
    let refused = pair.local.refused(&["approvals", "approve", id]);
    refused.assert(1, &["cannot be approved", "line 12", "Edit the draft"]);
    let shown = pair.local.must(&["approvals", "show", id]);
    assert!(shown.contains("cannot be approved") && shown.contains("line 12"), "{shown}");
    assert!(pair.local.outbox().is_empty());
    // The fix that is named is the fix.
    let fixed = BOILERPLATE.split("## To Approve").next().expect("a body");
    pair.local.save(path, fixed);
    pair.wait("the draft becomes approvable", |pair| {
        item_at(&pair.local, path).is_some_and(|item| item["state"] == "pending")
    });
    let id = item_at(&pair.local, path).expect("the draft is listed")["id"].clone();
    pair.local.must(&["approvals", "approve", id.as_str().expect("an ID")]);
    pair.wait("it is sent", |pair| pair.local.outbox().len() == 1);
}
