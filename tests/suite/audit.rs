//! The audit log, end to end: what was decided is there, without content; what was changed in it is found.

use std::fs;

use crate::node::Pair;

#[test]
fn decisions_are_logged_without_content_and_a_changed_line_is_found() {
    let mut pair = Pair::running();
    pair.local.must(&["freeze"]);
    pair.local.must(&["unfreeze"]);
    pair.local.save("Pending_Approval/secret plan.md", "no draft at all\n");
    fs::rename(
        pair.local.vault.join("Pending_Approval/secret plan.md"),
        pair.local.vault.join("Approved/secret plan.md"),
    )
    .expect("moved by hand");
    let types = |pair: &Pair| -> Vec<String> {
        let lines = pair.local.json(&["audit", "show", "--json"]);
        let lines = lines["items"].as_array().expect("lines");
        lines.iter().filter_map(|line| line["action_type"].as_str().map(str::to_owned)).collect()
    };
    pair.wait("all is logged", |pair| {
        ["freeze", "unfreeze"].iter().all(|wanted| types(pair).iter().any(|found| found == wanted))
    });
    assert!(!pair.local.must(&["audit", "export"]).contains("secret plan"));
    let verified = pair.local.json(&["audit", "verify", "--json"]);
    assert!(
        verified["items"].as_array().is_some_and(|logs| logs.len() == 2 && logs.iter().all(|log| log["ok"] == true))
    );
    pair.local.stop();
    let folder = pair.local.home.join("audit/mesh");
    let month = fs::read_dir(folder).expect("a log").flatten().map(|file| file.path());
    let month = month.into_iter().find(|path| path.extension().is_some_and(|kind| kind == "jsonl")).expect("a month");
    let text = fs::read_to_string(&month).expect("lines");
    fs::write(&month, text.replacen("\"unfreeze\"", "\"nothing\"", 1)).expect("changed");
    let broken = pair.local.run(&["audit", "verify", "--json"]);
    assert_eq!(broken.status.code(), Some(1));
    let told: serde_json::Value = serde_json::from_slice(&broken.stdout).expect("JSON");
    assert_eq!((&told["items"][0]["ok"], &told["items"][0]["line"]), (&false.into(), &2.into()), "{told}");
}

#[test]
fn a_name_in_the_log_steers_no_terminal() {
    let pair = Pair::running();
    let file = pair.local.home.join("approved/\u{1b}[2J\u{9b}x.approval");
    aiemp_keys::private_file::write_private(&file, b"no approval").expect("handed in");
    let shown = |pair: &Pair| pair.local.must(&["audit", "show"]);
    pair.wait("it is refused", |pair| shown(pair).contains("approval_refused"));
    let shown = shown(&pair);
    assert!(shown.contains("[U+001B") && !shown.contains(['\u{1b}', '\u{9b}']), "{shown:?}");
}
