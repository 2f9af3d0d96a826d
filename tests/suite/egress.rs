//! Secrets on their way out, end to end: held, told, let out by the person alone.

use std::fs;

use crate::node::Pair;

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

/// Neither on Cloud's disk, in any encoding the file was in, nor in Local's own logs.
fn assert_nowhere(pair: &Pair, value: &str) {
    for root in [&pair.cloud.home, &pair.cloud.vault, &pair.local.home.join("mesh")] {
        let mut folders = vec![root.to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Ok(bytes) = fs::read(&path) {
                    let found = bytes.windows(value.len()).any(|window| window == value.as_bytes());
                    assert!(!found, "{}", path.display());
                }
            }
        }
    }
}
