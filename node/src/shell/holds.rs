//! What was held back from the logs, on disk: for each a file with its content, if it lies nowhere else, and beside it
//! one that says where it was and why.

use aiemp_keys::private_file;
use aiemp_protocol::{ids::ContentHash, vault_path::VaultPath};
use anyhow::Result;
use serde_json::Value;

use crate::home::Home;

/// The reason of what the guard holds.
pub const SECRET: &str = "secret";

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
