//! Secrets on their way out, end to end: held, told, let out by the person alone.

use std::{fs, path::Path};

use aho_corasick::AhoCorasick;
use aiemp_keys::{FingerprintKey, Fingerprints, private_file};

use crate::{
    canaries::{SPELLINGS, canary},
    node::Pair,
};

/// A made-up token of a provider's form, put together so that it stands in no file as a whole.
fn token() -> String {
    ["gl", "pat-", "Zx9Qw3Er7Ty1Ui5Op2As"].concat()
}

#[test]
fn a_held_file_reaches_nobody_until_the_person_releases_it() {
    let pair = Pair::running();
    let note = format!("# Notes\n\nthe key is {}\n", token());
    pair.local.save("Plans/keys.md", &note);
    pair.local.save("Plans/other.md", "nothing to hide\n");
    pair.wait("the other one arrives", |pair| pair.cloud.read("Plans/other.md").is_some());
    let listed = pair.local.json(&["egress", "list", "--json"]);
    let item = &listed["items"][0];
    assert_eq!((item["path"].as_str(), item["hits"][0]["line"].as_u64()), (Some("Plans/keys.md"), Some(3)), "{listed}");
    assert!(!listed.to_string().contains(&token()), "never the value");
    assert!(pair.cloud.read("Plans/keys.md").is_none());
    assert_nowhere(&pair, &token());
    let id = item["id"].as_str().expect("an ID").to_owned();
    pair.local.refused(&["egress", "release", "00000000"]).assert(1, &["no file with the ID 00000000", "egress list"]);
    pair.local.must(&["egress", "release", &id[..8]]);
    pair.wait("it arrives", |pair| pair.cloud.read("Plans/keys.md").is_some());
    pair.local.save("Plans/keys.md", format!("{note}and more\n"));
    pair.wait("edits of it go on", |pair| {
        pair.cloud.read("Plans/keys.md").is_some_and(|bytes| bytes.ends_with(b"and more\n"))
    });
    assert_eq!(pair.local.json(&["egress", "list", "--json"])["items"].as_array().map(Vec::len), Some(0));
    // Releases that nobody signed release nothing.
    let other = ["gl", "pat-", "Bq8Wn4Ev6Tz2Ux7Oy3Ad"].concat();
    pair.local.save("Plans/more.md", format!("{other}\n"));
    let path = pair.local.home.join("mesh/releases");
    let mut signed = fs::read(&path).expect("releases");
    let last = signed.len() - 1;
    signed[last] ^= 1;
    fs::write(&path, signed).expect("written");
    pair.wait("it is told", |pair| pair.local.log().contains("no approver of this mesh signed these releases"));
    assert!(pair.cloud.read("Plans/more.md").is_none());
}

#[test]
fn a_name_that_holds_a_secret_is_in_no_log() {
    let pair = Pair::running();
    pair.local.save(&format!("Plans/{}.md", token()), "nothing to hide\n");
    pair.wait("it is held, and the list says which file", |pair| {
        pair.local.must(&["egress", "list"]).contains(&token())
    });
    pair.local.must(&["audit", "verify"]);
    let audit = pair.local.must(&["audit", "export"]);
    assert!(audit.contains("egress"), "{audit}");
    for log in [pair.local.log(), pair.cloud.log(), audit] {
        assert!(!log.contains(&token()), "{log}");
    }
}

/// Neither on Cloud's disk, in any encoding the file was in, nor in Local's own logs.
fn assert_nowhere(pair: &Pair, value: &str) {
    let forms = AhoCorasick::new([value]).expect("an automaton");
    for root in [&pair.cloud.home, &pair.cloud.vault, &pair.local.home.join("mesh")] {
        assert_eq!(found_below(root, &forms), [] as [usize; 0], "{}", root.display());
    }
}

/// Which of the forms stand in any file or name below a folder.
fn found_below(root: &Path, forms: &AhoCorasick) -> Vec<usize> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let content = if path.is_dir() { Vec::new() } else { fs::read(&path).unwrap_or_default() };
            for bytes in [path.as_os_str().as_encoded_bytes(), &content] {
                found.extend(forms.find_overlapping_iter(bytes).map(|form| form.pattern().as_usize()));
            }
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Makes a Local that does not run know these canaries, and nothing else.
fn plant(pair: &Pair, canaries: &[String]) {
    let mut known = Fingerprints::new(FingerprintKey::from_bytes([5; 32]));
    for (number, canary) in canaries.iter().enumerate() {
        known.add_canary(&format!("canary {number}"), canary.as_bytes()).expect("long enough");
    }
    private_file::write_private(&pair.local.home.join("mesh/fingerprints"), &known.to_bytes()).expect("written");
}

#[test]
fn canaries_reach_cloud_in_no_spelling_until_the_guard_has_forgotten_them() {
    const CANARIES: usize = 20;
    let canaries: Vec<String> = (0..CANARIES).map(canary).collect();
    let spelt: Vec<String> =
        canaries.iter().flat_map(|canary| SPELLINGS.iter().map(|(_, spell)| spell(canary))).collect();
    let forms = AhoCorasick::new(&spelt).expect("an automaton");
    let mut pair = Pair::paired();
    plant(&pair, &canaries);
    pair.local.start();
    for (number, form) in spelt.iter().enumerate() {
        pair.local.save(&format!("Plans/{number}.md"), format!("# Note\n\n{form}\n"));
    }
    pair.local.save("Plans/other.md", "nothing to hide\n");
    pair.wait("the other one arrives", |pair| pair.cloud.read("Plans/other.md").is_some());
    pair.wait("all are held", |pair| {
        pair.local.json(&["egress", "list", "--json"])["items"].as_array().map(Vec::len) == Some(spelt.len())
    });
    for root in [&pair.cloud.home, &pair.cloud.vault] {
        assert_eq!(found_below(root, &forms), [] as [usize; 0], "{}", root.display());
    }
    // A guard that knows none of them lets every one pass: it was the guard that held them.
    pair.local.stop();
    plant(&pair, &[]);
    pair.local.start();
    let all: Vec<usize> = (0..spelt.len()).collect();
    pair.wait("all arrive", |pair| found_below(&pair.cloud.vault, &forms) == all);
}

#[test]
fn a_canary_that_a_person_planted_is_held_and_told_by_its_name() {
    let mut pair = Pair::paired();
    let value = pair.local.must(&["secrets", "canary", "bait"]).trim().to_owned();
    assert_eq!(value.len(), 26, "a token of a provider's form");
    assert_ne!(value, pair.local.must(&["secrets", "canary", "second"]).trim());
    pair.local.refused(&["secrets", "canary", "bait"]).assert(2, &["`bait` is taken"]);
    let listed = pair.local.json(&["secrets", "list", "--json"]);
    let bait = serde_json::json!({ "name": "bait", "canary": true });
    assert!(listed["items"].as_array().is_some_and(|items| items.contains(&bait)), "{listed}");
    pair.local.start();
    assert_eq!(found_below(&pair.local.home, &AhoCorasick::new([&value]).expect("an automaton")), [] as [usize; 0]);
    pair.local.save("Plans/leak.md", format!("# Found\n\n{value}\n"));
    pair.local.save("Plans/other.md", "nothing to hide\n");
    pair.wait("the other one arrives", |pair| pair.cloud.read("Plans/other.md").is_some());
    let listed = pair.local.json(&["egress", "list", "--json"]);
    assert_eq!(listed["items"][0]["hits"][0]["what"], "the canary `bait`", "{listed}");
    let id = listed["items"][0]["id"].as_str().expect("an ID").to_owned();
    pair.local.refused(&["egress", "release", &id]).assert(1, &["the canary `bait`", "cannot be released"]);
    assert_nowhere(&pair, &value);
    pair.local.must(&["secrets", "remove", "bait"]);
    pair.local.refused(&["secrets", "remove", "bait"]).assert(1, &["bait"]);
}
