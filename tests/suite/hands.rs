//! Declared hands, as the person writes, signs and meets them; a service on loopback takes what is sent.

use std::{
    fs,
    io::Write as _,
    sync::{Arc, Mutex},
};

use aiemp_node::hands::Hands;

use crate::{
    deploy::read,
    http::{self, Asked},
    node::Pair,
};

/// Answers 201 to every caller, for as long as the test runs; what each asked.
fn service() -> (u16, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = asked.clone();
    let port = http::serve(move |Asked { head, body }, stream| {
        heard.lock().expect("one at a time").push(format!("{head}{body}"));
        stream.write_all(http::json("201 Created", "").as_bytes()).ok();
    });
    (port, asked)
}

fn declaration(port: u16) -> String {
    format!(
        "[social]\ncarries = \"post\"\nmethod = \"POST\"\nscheme = \"http\"\nhost = \"127.0.0.1\"\nport = {port}\n\
         path = \"/v1/{{network}}/posts\"\njson = {{ text = \"{{text}}\" }}\nidempotency_header = \"Idempotency-Key\"\n"
    )
}

const DRAFT: &str = "---\naction: post\nhand: social\nnetwork: example\n---\n\nGood news.\n";

#[test]
fn a_post_goes_by_a_hand_that_was_declared_and_signed_and_by_no_other() {
    let (port, asked) = service();
    let pair = Pair::running();
    let file = pair.dir().join("hands.toml");
    pair.local.save("Pending_Approval/post.md", DRAFT);
    pair.wait("the draft waits", |pair| pair.local.approvals_in("pending").len() == 1);
    let id = pair.local.approvals_in("pending").remove(0);

    // Before it is signed the person learns that nothing could come of it.
    let declare = ["no hand named `social` is declared", "hands apply"];
    pair.local.refused(&["approvals", "approve", &id]).assert(1, &declare);
    fs::write(&file, "[social]\ncarries = \"post\"\nurl = \"https://x\"\n").expect("written");
    pair.local
        .refused(&["hands", "apply", &file.to_string_lossy()])
        .assert(1, &["unknown field `url`", "docs/hands.md"]);
    pair.cloud.refused(&["hands", "show"]).assert(78, &["decided on Local alone"]);

    let before = pair.local.processes()["executor"];
    fs::write(&file, declaration(port)).expect("written");
    pair.local.must(&["hands", "apply", &file.to_string_lossy()]);
    assert!(pair.local.must(&["hands", "show"]).contains("/v1/{network}/posts"));
    assert_eq!(pair.local.json(&["hands", "show", "--json"])["items"][0]["port"], port);
    // The wall of a process stands as long as it runs: the port is opened to the next one.
    pair.wait("another executor runs", |pair| {
        pair.local.processes().get("executor").is_some_and(|executor| *executor != before)
    });
    pair.local.must(&["approvals", "approve", &id]);
    pair.wait("it is sent", |pair| pair.local.approvals_in("sent").len() == 1);
    let asked = asked.lock().expect("one at a time").clone();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(asked[0].starts_with("POST /v1/example/posts HTTP/1.1\r\n"), "{}", asked[0]);
    assert!(asked[0].ends_with("\r\n\r\n{\"text\":\"Good news.\\n\"}"), "{}", asked[0]);
    assert!(asked[0].contains("idempotency-key: "), "{}", asked[0]);

    let with_secret = declaration(port) + "headers = { Authorization = \"Bearer ${secret:social-token}\" }\n";
    fs::write(&file, with_secret).expect("written");
    pair.local.must(&["hands", "apply", &file.to_string_lossy()]);
    let doctor = String::from_utf8(pair.local.run(&["doctor"]).stdout).expect("UTF-8");
    assert!(doctor.contains("the secret `social-token` is not stored"), "{doctor}");
}

const SAMPLE: &str = "deploy/config/hands.toml";

#[test]
fn the_sample_of_hands_is_taken_as_it_stands_and_calls_nobody() {
    let hands = Hands::parse(&read(SAMPLE)).unwrap_or_else(|error| panic!("{SAMPLE}: {error}"));
    assert_eq!(hands.iter().map(|hand| hand.name.as_str()).collect::<Vec<_>>(), ["bank", "crm", "social"]);
    assert!(hands.iter().all(|hand| hand.dry_run) && hands.ports().is_empty());
    assert_eq!(
        hands.servers().map(|server| (server.name.as_str(), server.dry_run)).collect::<Vec<_>>(),
        [("mail", true)]
    );
}

#[test]
fn every_key_of_the_manual_is_shown_by_the_sample_and_an_unknown_one_is_refused() {
    let (sample, manual) = (read(SAMPLE), read("docs/hands.md"));
    for line in manual.lines().filter_map(|line| line.strip_prefix("| `")) {
        let key = line.split('`').next().expect("a key");
        if !key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
            continue;
        }
        let is_shown = sample.lines().any(|line| line.trim_start_matches("# ").starts_with(&format!("{key} = ")));
        assert!(is_shown, "the sample shows no `{key}`");
    }
    for table in sample.lines().filter(|line| line.starts_with('[')) {
        let broken = sample.replace(table, &format!("{table}\nuri = \"x\""));
        assert!(Hands::parse(&broken).is_err(), "in {table}");
    }
}
