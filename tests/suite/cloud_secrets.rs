//! Secrets of a Cloud node: made there without a key, kept there, and none that sends.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::node::{Node, Pair, Refusal, text};

const KEY: &str = "correct horse battery staple 42";

fn add(node: &Node, args: &[&str], value: &str) -> Refusal {
    Refusal::of(&node.with_input(&[&["secrets", "add"][..], args].concat(), &format!("{value}\n")))
}

#[test]
fn each_role_takes_its_own_kind_of_secret_and_says_where_the_other_belongs() {
    let pair = Pair::strangers();
    add(&pair.local, &["model", "--use", "model"], KEY).assert(78, &["this is a Local node", "on the Cloud node"]);
    add(&pair.cloud, &["smtp"], KEY).assert(78, &["belong on Local", "--use model, mail-in, webhook or watcher"]);
    add(&pair.cloud, &["smtp", "--use", "smtp"], KEY).assert(2, &["possible values: model, mail-in, webhook, watcher"]);
    add(&pair.cloud, &["../x", "--use", "model"], KEY).assert(1, &["no name for a secret"]);
    add(&pair.cloud, &["model", "--use", "model"], "short").assert(1, &["longer password"]);
    assert!(!pair.cloud.home.join("cloud-secrets/model").exists());
    assert!(!pair.local.home.join("cloud-secrets").exists());
    // No passphrase, and no approve key that it does not have.
    add(&pair.cloud, &["model", "--use", "model"], KEY).assert(0, &["guards it from its next start on"]);
    let stored = fs::metadata(pair.cloud.home.join("cloud-secrets/model")).expect("the secret");
    assert_eq!(stored.permissions().mode() & 0o777, 0o600);
    let listed = pair.cloud.json(&["secrets", "list", "--json"]);
    assert_eq!(listed["items"], serde_json::json!([{ "name": "model", "kind": "cloud", "use": "model" }]));
    assert_eq!(pair.cloud.must(&["secrets", "list"]), "model  on Cloud, for model");
    // Copied to Local, it is found, and nothing there takes it.
    let copied = pair.local.home.join("cloud-secrets");
    fs::create_dir(&copied).expect("a folder");
    fs::copy(pair.cloud.home.join("cloud-secrets/model"), copied.join("model")).expect("a copy");
    let doctor = text(&pair.local.run(&["doctor"]).stdout);
    assert!(doctor.contains("secrets of the other role") && doctor.contains("renew those secrets"), "{doctor}");
    assert_eq!(pair.local.json(&["secrets", "list", "--json"])["items"], serde_json::json!([]));
    pair.cloud.must(&["secrets", "remove", "model"]);
    assert_eq!(pair.cloud.json(&["secrets", "list", "--json"])["items"], serde_json::json!([]));
    pair.cloud.refused(&["secrets", "remove", "model"]).assert(1, &["no secret named model"]);
}

#[test]
fn a_secret_of_cloud_reaches_its_brain_and_no_other_machine() {
    let mut pair = Pair::strangers();
    let brain = ["/bin/sh", "-c", "cat >/dev/null; test \"$KEY\" = \"$0\" && echo Thank you, it is known.", KEY];
    let port = crate::node::free_port();
    pair.cloud.configure(&format!(
        "listen = [\"/ip4/127.0.0.1/tcp/{port}\"]\n[brain]\nkind = \"command\"\ncommand = {}\n\
         env = {{ KEY = \"${{secret:model}}\" }}\n",
        serde_json::json!(brain)
    ));
    pair.cloud.refused(&["--role", "cloud"]).assert(78, &["no secret named model", "secrets add model --use model"]);
    add(&pair.cloud, &["model", "--use", "model"], KEY).assert(0, &[]);
    pair.pair(&[]);
    pair.local.start();
    let mail = b"From: a@client.test\r\nTo: me@example.test\r\nSubject: order\r\n\r\nHello\r\n";
    pair.cloud.drop_mail("order.eml", mail);
    pair.wait("the brain that was given the key drafts", |pair| {
        pair.local.files("Pending_Approval").values().any(|note| text(note).contains("it is known"))
    });
    pair.cloud.save("Plans/key.md", format!("the key is {KEY}\n"));
    pair.cloud.save("Plans/other.md", "nothing to hide\n");
    pair.wait("the other note arrives", |pair| pair.local.read("Plans/other.md").is_some());
    assert!(pair.local.read("Plans/key.md").is_none(), "the guard knows it");
    assert_eq!(pair.local.files("").values().filter(|bytes| text(bytes).contains(KEY)).count(), 0);
}
