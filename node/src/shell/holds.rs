//! What was held back from the logs, on disk: for each a file with its content, if it lies nowhere else, and beside it
//! one that says where it was and why.

use std::{collections::BTreeMap, path::PathBuf};

use aiemp_keys::private_file;
use aiemp_protocol::{ids::ContentHash, vault_path::VaultPath};
use anyhow::Result;
use serde_json::Value;

use crate::home::Home;

/// The reason of what the guard holds.
pub const SECRET: &str = "secret";

/// What is held of one place for one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hold {
    /// Where it lies, or lay.
    pub path: String,
    /// Why it did not sync.
    pub reason: String,
    /// More of that, where there is more to say.
    pub detail: String,
    /// Files with what was saved; those that lie in the vault as they are held are empty.
    pub kept: Vec<PathBuf>,
}

/// What is held, by place and reason. What this process may not read it does not list.
pub fn listed(home: &Home) -> Vec<Hold> {
    let mut holds: BTreeMap<(String, String), Hold> = BTreeMap::new();
    for file in std::fs::read_dir(home.holds()).into_iter().flatten().flatten() {
        let told = file.path();
        let is_told = told.extension().is_some_and(|extension| extension == "json");
        let Some(about) = is_told.then(|| private_file::read_private(&told).ok()).flatten() else { continue };
        let about: Value = serde_json::from_slice(about.expose()).unwrap_or_default();
        let (Some(path), Some(reason)) = (about["path"].as_str(), about["reason"].as_str()) else { continue };
        let hold = holds.entry((path.to_owned(), reason.to_owned())).or_insert_with(|| Hold {
            path: path.to_owned(),
            reason: reason.to_owned(),
            detail: about["detail"].as_str().unwrap_or_default().to_owned(),
            kept: Vec::new(),
        });
        let kept = told.with_extension("");
        if std::fs::metadata(&kept).is_ok_and(|file| file.len() > 0) {
            hold.kept.push(kept);
        }
    }
    let sorted = |mut hold: Hold| {
        hold.kept.sort();
        hold
    };
    holds.into_values().map(sorted).collect()
}

/// Keeps what did not sync, once for each place and content; says whether it could.
pub fn keep(home: &Home, path: &str, reason: &str, detail: &str, bytes: &[u8]) -> bool {
    let name = format!("{}-{reason}", &ContentHash::of([path.as_bytes(), bytes].concat().as_slice()).to_string()[..16]);
    let about = serde_json::json!({ "path": path, "reason": reason, "detail": detail });
    let kept = private_file::write_private(&home.holds().join(&name), bytes).and_then(|()| {
        private_file::write_private(&home.holds().join(format!("{name}.json")), about.to_string().as_bytes())
    });
    if let Err(error) = &kept {
        tracing::error!(%error, "what was held could not be kept");
    }
    kept.is_ok()
}

/// How many things are held.
pub fn count(home: &Home) -> usize {
    let files = std::fs::read_dir(home.holds()).into_iter().flatten().flatten();
    files.filter(|file| file.path().extension().is_some_and(|extension| extension == "json")).count()
}

/// Where files lie, or lay, that the guard held.
pub fn secret_paths(home: &Home) -> Result<Vec<VaultPath>> {
    let mut paths = Vec::new();
    for file in std::fs::read_dir(home.holds()).into_iter().flatten() {
        let path = file?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let about: Value = serde_json::from_slice(private_file::read_private(&path)?.expose()).unwrap_or_default();
        if about["reason"] == SECRET
            && let Some(Ok(path)) = about["path"].as_str().map(VaultPath::parse)
        {
            paths.push(path);
        }
    }
    paths.sort();
    paths.dedup();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_listed_once_for_each_place_and_reason() {
        let dir = tempfile::tempdir().expect("a folder");
        let home = Home::at(dir.path().to_owned());
        std::fs::create_dir_all(home.holds()).expect("the folder of holds");
        for bytes in [&b"one"[..], b"two", b"one"] {
            assert!(keep(&home, "Done/a.md", "not_writable", "", bytes));
        }
        assert!(keep(&home, "Plans/key.md", SECRET, "a key", &[]));
        std::fs::write(home.holds().join("0-broken.json"), "{").expect("it is written");
        let listed = listed(&home);
        let told: Vec<_> =
            listed.iter().map(|hold| (hold.path.as_str(), hold.reason.as_str(), hold.kept.len())).collect();
        assert_eq!(told, [("Done/a.md", "not_writable", 2), ("Plans/key.md", SECRET, 0)]);
        let mut kept: Vec<_> = listed[0].kept.iter().map(|file| std::fs::read(file).expect("it is kept")).collect();
        kept.sort();
        assert_eq!(kept, [b"one".to_vec(), b"two".to_vec()]);
    }
}
