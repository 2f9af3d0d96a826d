//! Other programs that keep the vault in step: two at one folder undo each other's work, and one that Cloud takes part
//! in too would carry Cloud's edits in as the person's.
//!
//! They are known by what they leave in the folder, above it, or by where it lies. Nothing of theirs is run or changed.

use std::{fs::File, io::Read, path::Path};

use aiemp_keys::Hash;
use aiemp_protocol::{action::spelt, pairing::remote_digest};
use serde_json::Value;

/// Settings of others are small; more is not read.
const SETTINGS_BYTES_MAX: u64 = 1 << 20;

/// A sync at work, or ready to work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherSync {
    /// What was found.
    pub what: String,
    /// What to do.
    pub fix: String,
}

/// A place that git keeps a vault in step with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// What it is called, and on which host it lies; never the whole address, which may hold a token.
    pub shown: String,
    /// The same for all spellings of its address, whoever logs in there.
    pub digest: Hash,
}

/// The places that git keeps the vault in step with, as far as the vault's own repository says.
pub fn remotes(vault: &Path) -> Vec<Remote> {
    git_config(&vault.join(".git")).map(|config| remotes_of(&config, vault)).unwrap_or_default()
}

/// Finds what else keeps the folder in step.
pub fn find(vault: &Path) -> Vec<OtherSync> {
    let mut found = Vec::new();
    git(vault, &mut found);
    obsidian_git(vault, &mut found);
    folders(vault, &mut found);
    found
}

fn git(vault: &Path, found: &mut Vec<OtherSync>) {
    let mut remotes: Vec<_> = remotes(vault).into_iter().map(|remote| remote.shown).collect();
    remotes.dedup();
    if remotes.is_empty() {
        return;
    }
    found.push(OtherSync {
        what: format!("git keeps the vault in step with {}", remotes.join(", ")),
        fix: "Keep the history, and let nothing pull any more: end cron jobs and hooks that do, or run `git remote \
              remove NAME`. If Cloud pushes there, what it wrote would come in as yours."
            .to_owned(),
    });
}

/// The settings of a repository, also where `.git` is a file that says where it is.
fn git_config(at: &Path) -> Option<String> {
    if at.is_dir() {
        return read(&at.join("config"));
    }
    let pointer = read(at)?;
    let folder = at.parent()?.join(pointer.strip_prefix("gitdir:")?.trim());
    // A worktree shares the settings of the repository that it belongs to.
    let common = read(&folder.join("commondir")).map_or_else(|| folder.clone(), |common| folder.join(common.trim()));
    read(&common.join("config"))
}

fn remotes_of(config: &str, vault: &Path) -> Vec<Remote> {
    let mut remotes = Vec::new();
    let mut name = None;
    for line in config.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            let of_remote = section.strip_prefix("remote").map(|rest| rest.trim_matches([' ', '"', ']']).to_owned());
            name = of_remote.filter(|name| !name.is_empty());
        } else if let (Some(name), Some((key, url))) = (&name, line.split_once('='))
            && matches!(key.trim(), "url" | "pushurl")
        {
            let place = Place::of(url.trim().trim_matches('"'), vault);
            let digest = remote_digest(&format!("{}/{}", place.host, place.path).to_lowercase());
            let host = if place.host.is_empty() { "a folder" } else { &place.host };
            remotes.push(Remote { shown: format!("`{}` ({})", spelt(name), spelt(host)), digest });
        }
    }
    remotes
}

/// Where a repository lies: on a host, or without one in a folder of the machine.
struct Place {
    host: String,
    path: String,
}

impl Place {
    /// From `https://user:token@host:443/a/b.git`, `user@host:a/b`, `/srv/a` or `../a`.
    fn of(url: &str, vault: &Path) -> Self {
        let (host, path) = match url.split_once("://") {
            Some(("file", path)) => ("", path.to_owned()),
            Some((_, rest)) => {
                let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
                (place, path.to_owned())
            }
            None if url.starts_with(['/', '.']) => ("", vault.join(url).to_string_lossy().into_owned()),
            None => match url.split_once(':') {
                Some((place, path)) => (place, path.to_owned()),
                None => ("", vault.join(url).to_string_lossy().into_owned()),
            },
        };
        let host = host.rsplit('@').next().unwrap_or_default();
        let host = host.split(':').next().unwrap_or_default().to_owned();
        let path = path.trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path).trim_end_matches('/').to_owned();
        Self { host, path }
    }
}

/// The plugin pulls and pushes by itself where one of its intervals is set.
fn obsidian_git(vault: &Path, found: &mut Vec<OtherSync>) {
    let settings = vault.join(".obsidian");
    let json = |path: &Path| serde_json::from_str::<Value>(&read(path)?).ok();
    let is_on = json(&settings.join("community-plugins.json"))
        .is_some_and(|on| on.as_array().is_some_and(|on| on.iter().any(|plugin| plugin == "obsidian-git")));
    let Some(data) = json(&settings.join("plugins/obsidian-git/data.json")).filter(|_| is_on) else { return };
    let intervals = ["autoSaveInterval", "autoPushInterval", "autoPullInterval"];
    let by_itself = intervals.iter().any(|interval| data[*interval].as_f64().is_some_and(|minutes| minutes > 0.0));
    if by_itself || data["autoPullOnBoot"] == Value::Bool(true) {
        found.push(OtherSync {
            what: "the Obsidian plugin Git commits or pulls by itself".to_owned(),
            fix: "Set its intervals to 0 and switch off \"Pull on startup\"; commits by hand do no harm.".to_owned(),
        });
    }
}

/// A program, the name of what it leaves in a folder that it keeps in step, and of the folders that it keeps.
struct Program {
    name: &'static str,
    leaves: &'static [&'static str],
    folders: &'static [&'static str],
}

const PROGRAMS: [Program; 6] = [
    Program { name: "Syncthing", leaves: &[".stfolder"], folders: &[] },
    Program { name: "iCloud Drive", leaves: &[], folders: &["Mobile Documents", "iCloudDrive", "iCloud Drive"] },
    Program { name: "Dropbox", leaves: &[".dropbox", ".dropbox.cache"], folders: &["Dropbox"] },
    Program { name: "OneDrive", leaves: &[], folders: &["OneDrive"] },
    Program { name: "Google Drive", leaves: &[], folders: &["Google Drive", "GoogleDrive", "My Drive"] },
    Program { name: "Nextcloud or ownCloud", leaves: &[".owncloudsync.log", ".nextcloudsync.log"], folders: &[] },
];

fn folders(vault: &Path, found: &mut Vec<OtherSync>) {
    for program in &PROGRAMS {
        let keeps = |folder: &Path| program.leaves.iter().any(|name| folder.join(name).exists());
        let is_named = |part: &str| {
            // As in "OneDrive - Example Ltd" and "GoogleDrive-ann@example.org".
            let is_its = |name: &str| {
                part.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '-']))
            };
            program.folders.iter().any(|name| is_its(name))
        };
        let lies_below = vault.iter().filter_map(|part| part.to_str()).any(is_named);
        if lies_below || vault.ancestors().any(keeps) {
            found.push(OtherSync {
                what: format!("{} keeps the vault in step", program.name),
                fix: format!("Take the vault out of {}, or choose another folder for it.", program.name),
            });
        }
    }
}

fn read(path: &Path) -> Option<String> {
    // Whoever opens a pipe waits for its other end.
    if !path.is_file() {
        return None;
    }
    let mut text = String::new();
    File::open(path).ok()?.take(SETTINGS_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::{TempDir, tempdir};

    use super::*;

    fn vault(files: &[(&str, &str)]) -> TempDir {
        let root = tempdir().expect("a folder");
        for (name, text) in files {
            let at = root.path().join("vault").join(name);
            fs::create_dir_all(at.parent().expect("a folder")).expect("made");
            fs::write(at, text).expect("written");
        }
        root
    }

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        find(&vault(files).path().join("vault")).into_iter().map(|sync| sync.what).collect()
    }

    #[test]
    fn a_repository_counts_when_it_has_a_remote_and_its_token_is_not_told() {
        let with =
            "[core]\n\tbare = false\n[remote \"origin\"]\n\turl = https://me:ghp_secret@github.com/me/vault.git\n";
        assert_eq!(found(&[(".git/config", with)]), ["git keeps the vault in step with `origin` (github.com)"]);
        let by_ssh = "[remote \"a\"]\nurl = git@host.test:me/vault\n[remote \"b\"]\n  url=/srv/vault\n";
        let expected = ["git keeps the vault in step with `a` (host.test), `b` (a folder)"];
        assert_eq!(found(&[(".git/config", by_ssh)]), expected);
        assert_eq!(found(&[(".git/config", "[core]\n\tbare = false\n[branch \"main\"]\n\turl = x\n")]), [""; 0]);
        let worktree = [
            (".git", "gitdir: ../repository/.git/worktrees/vault\n"),
            ("../repository/.git/worktrees/vault/commondir", "../..\n"),
            ("../repository/.git/config", by_ssh),
        ];
        assert_eq!(found(&worktree), expected);
    }

    #[test]
    fn one_place_has_one_digest_however_its_address_is_spelt_and_whoever_logs_in() {
        let digest = |url: &str| {
            let remotes = remotes_of(&format!("[remote \"origin\"]\n\turl = {url}\n"), Path::new("/home/me/vault"));
            remotes.first().expect("a remote").digest
        };
        let one = digest("https://github.com/me/vault.git");
        for same in [
            "https://me:ghp_secret@github.com/me/vault",
            "git@github.com:me/vault.git",
            "ssh://git@github.com:22/Me/Vault/",
            "\"https://GitHub.com/me/vault.git/\"",
        ] {
            assert_eq!(digest(same), one, "{same}");
        }
        for other in ["git@github.com:me/other", "https://gitlab.com/me/vault", "/github.com/me/vault"] {
            assert_ne!(digest(other), one, "{other}");
        }
        assert_eq!(digest("/srv/vault.git"), digest("file:///srv/vault"));
        let pushes = "[remote \"origin\"]\nurl = https://a.test/read\npushurl = https://github.com/me/vault\n";
        assert!(remotes_of(pushes, Path::new("/v")).iter().any(|remote| remote.digest == one));
    }

    #[test]
    fn the_git_plugin_counts_when_it_is_on_and_works_by_itself() {
        let on = (".obsidian/community-plugins.json", "[\"dataview\", \"obsidian-git\"]");
        let data = |text| (".obsidian/plugins/obsidian-git/data.json", text);
        let told = ["the Obsidian plugin Git commits or pulls by itself"];
        assert_eq!(found(&[on, data("{\"autoSaveInterval\": 10}")]), told);
        assert_eq!(found(&[on, data("{\"autoSaveInterval\": 0, \"autoPullOnBoot\": true}")]), told);
        assert_eq!(found(&[on, data("{\"autoSaveInterval\": 0}")]), [""; 0]);
        assert_eq!(found(&[data("{\"autoSaveInterval\": 10}")]), [""; 0]);
        assert_eq!(found(&[on, data("not JSON")]), [""; 0]);
    }

    #[test]
    fn a_folder_of_another_program_is_known_by_what_lies_there_and_by_its_name() {
        assert_eq!(found(&[(".stfolder/x", "")]), ["Syncthing keeps the vault in step"]);
        assert_eq!(found(&[("../.dropbox", ""), ("a.md", "")]), ["Dropbox keeps the vault in step"]);
        let named = |path: &str| find(Path::new(path)).into_iter().map(|sync| sync.what).collect::<Vec<_>>();
        assert_eq!(named("/nowhere/OneDrive - Example Ltd/vault"), ["OneDrive keeps the vault in step"]);
        assert_eq!(
            named("/nowhere/Library/Mobile Documents/iCloud~md~obsidian/Documents/vault"),
            ["iCloud Drive keeps the vault in step"]
        );
        assert_eq!(named("/nowhere/Dropbox_old/vault"), [""; 0]);
        assert_eq!(found(&[("a.md", "")]), [""; 0]);
    }
}
