//! Limits on what is sent, as the person writes, signs and meets them.

use std::fs;

use crate::node::Pair;

fn draft(to: &str, subject: &str) -> String {
    format!("---\naction: email\nfrom: Me <me@example.test>\nto: {to}\nsubject: {subject}\n---\n\nHello.\n")
}

#[test]
fn limits_are_applied_by_signature_and_kept_by_the_executor() {
    let pair = Pair::running();
    let file = pair.dir().join("limits.toml");
    let apply = |text: &str| {
        fs::write(&file, text).expect("limits");
        pair.local.must(&["policy", "apply", &file.to_string_lossy()]);
    };
    assert_eq!(pair.local.must(&["policy", "show"]), "");
    fs::write(&file, "[email]\nper_week = 3\n").expect("limits");
    pair.local.refused(&["policy", "apply", &file.to_string_lossy()]).assert(1, &["per_week", "policy show"]);
    pair.local.save("Pending_Approval/a.md", draft("anna@client.test", "One"));
    pair.local.save("Pending_Approval/b.md", draft("bob@stranger.test", "Two"));
    pair.wait("both wait", |pair| pair.local.approvals_in("pending").len() == 2);
    apply("[email]\nrecipients = [\"@client.test\"]\ndelay_minutes = 5\n");
    assert!(pair.local.must(&["policy", "show"]).contains("\"@client.test\""));
    let said = pair.local.must(&["policy", "test"]);
    assert!(said.contains("refused: the policy does not list bob@stranger.test"), "{said}");
    assert!(said.contains("it waits until") && said.contains("the delay of the policy"), "{said}");
    let item = |path: &str| {
        let items = pair.local.approvals();
        let item = items.iter().find(|item| item["path"] == path).expect("it waits");
        item["id"].as_str().expect("an ID").to_owned()
    };
    let (allowed, against) = (item("Pending_Approval/a.md"), item("Pending_Approval/b.md"));
    pair.local
        .refused(&["approvals", "approve", &against])
        .assert(1, &["does not list bob@stranger.test", "policy show"]);
    pair.local.must(&["approvals", "approve", &allowed]);
    pair.wait("it waits for its time", |pair| pair.local.approvals_in("approved").len() == 1);
    pair.local.must(&["approvals", "cancel", &allowed]);
    pair.wait("it is called back, and its draft waits again", |pair| {
        let items = pair.local.approvals();
        items.iter().any(|item| {
            item["path"] == "Pending_Approval/a.md" && item["state"] == "failed" && item["author"] == "local"
        })
    });
    assert_eq!(pair.local.outbox().len(), 0);
    apply("[email]\nper_hour = 1\n");
    pair.local.must(&["approvals", "approve", &allowed]);
    pair.local.must(&["approvals", "approve", &against]);
    pair.wait("the first is sent, the second waits", |pair| {
        pair.local.approvals_in("sent").len() == 1 && pair.local.approvals_in("approved").len() == 1
    });
    assert_eq!(pair.local.outbox().len(), 1);
    pair.cloud.refused(&["policy", "show"]).assert(78, &["decided on Local alone"]);
}

#[test]
fn a_draft_that_is_moved_to_approved_by_hand_comes_back_and_asks_for_a_signature() {
    let pair = Pair::running();
    pair.local.save("Pending_Approval/a.md", draft("anna@client.test", "It is approved"));
    pair.wait("it waits", |pair| pair.local.approvals_in("pending").len() == 1);
    let (from, to) = (pair.local.vault.join("Pending_Approval/a.md"), pair.local.vault.join("Approved/a.md"));
    fs::rename(&from, &to).expect("moved by hand");
    pair.wait("it comes back", |_| from.exists() && !to.exists());
    pair.wait("it asks", |pair| {
        let items = pair.local.approvals();
        items.len() == 1 && items[0]["state"] == "pending" && items[0]["signature_asked"] == true
    });
    assert!(pair.local.outbox().is_empty());
    assert!(pair.local.must(&["approvals"]).contains("which sends nothing"));
    let dashboard = || pair.local.read("Dashboard.md").unwrap_or_default();
    pair.wait("the dashboard says so", |_| String::from_utf8_lossy(&dashboard()).contains("needs your signature"));
}
