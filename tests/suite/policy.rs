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

#[test]
fn the_handbook_is_a_proposal_that_limits_nothing_until_it_is_signed() {
    let pair = Pair::running();
    pair.local.refused(&["policy", "diff"]).assert(1, &["Company_Handbook.md names no limit", "docs/policy.md"]);
    let handbook = "# Handbook\n\n| Action | Auto | Always |\n|---|---|---|\n| Email replies | known contacts | bulk sends |\n\n\
                    - Max 10 emails per hour, max 3 payments per hour\n\n## Do not contact\n- bob@stranger.test\n";
    pair.local.save("Company_Handbook.md", handbook);
    pair.local.save("Pending_Approval/b.md", draft("bob@stranger.test", "Two"));
    pair.wait("it waits", |pair| pair.local.approvals_in("pending").len() == 1);
    let id = pair.local.approvals()[0]["id"].as_str().expect("an ID").to_owned();
    let rule = || pair.local.json(&["approvals", "show", &id, "--json"])["rule"].to_string();
    pair.wait("the Handbook is there", |_| rule().contains("line 5: Email replies | known contacts | bulk sends"));
    assert!(rule().contains("policy for email: no limit"), "{}", rule());
    assert_eq!(pair.local.must(&["policy", "show"]), "", "a note limits nothing");
    pair.local.must(&["policy", "apply"]);
    let shown = pair.local.must(&["policy", "show"]);
    for piece in ["[email]\nper_hour = 10\nopt_out = [\"bob@stranger.test\"]", "[payment]\nper_hour = 3"] {
        assert!(shown.contains(piece), "{piece} is not in {shown}");
    }
    assert!(rule().contains("10 in an hour, of which 0 went; never to 1 that opted out"), "{}", rule());
    pair.local.refused(&["approvals", "approve", &id]).assert(1, &["`opt_out` names bob@stranger.test"]);
    // Whoever edits the note later changes nothing that was signed.
    pair.local.save("Company_Handbook.md", "# Handbook\n\n- 1000 emails per hour\n");
    pair.local.refused(&["approvals", "approve", &id]).assert(1, &["`opt_out` names"]);
    assert!(pair.local.outbox().is_empty());
}
