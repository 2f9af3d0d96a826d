//! Folders whose files become tasks.

use std::{
    collections::BTreeMap,
    fs::{self, File, Metadata},
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use aiemp_keys::Hash;
use aiemp_protocol::limits::BLOB_BYTES_MAX;
use data_encoding::BASE64;
use tokio::time::sleep;

use super::door::{Door, NotTaken};
use crate::{
    config::DropFolder,
    shell::control::{WireArrival, WireTrouble},
};

/// How often a folder is looked at. A file is taken once two looks found it the same.
const LOOKS: Duration = Duration::from_secs(1);
/// How much of a text stands in its task.
const TEXT_BYTES_MAX: usize = 16 << 10;
/// Names that programs give to what is not whole yet.
const HALF_DONE: [&str; 5] = [".part", ".partial", ".crdownload", ".download", ".tmp"];

/// What a look finds of a file: while it stays, nobody writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    length: u64,
    changed: (i64, i64),
    inode: u64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self { length: metadata.len(), changed: (metadata.mtime(), metadata.mtime_nsec()), inode: metadata.ino() }
    }
}

/// What is known of a folder's files.
#[derive(Debug, Default)]
struct Seen {
    waiting: BTreeMap<String, Stamp>,
    refused: BTreeMap<String, (Stamp, String)>,
}

/// Looks at a folder again and again.
pub(super) async fn look(folder: DropFolder, door: Door) {
    let (mut seen, name) = (Seen::default(), format!("drop {}", folder.dir.display()));
    loop {
        let trouble = match look_once(&folder, &door, &mut seen).await {
            Err(error) => Some(trouble_of_folder(&folder.dir, &error)),
            Ok(()) => trouble_of_files(&folder.dir, &seen.refused),
        };
        door.tell(&name, trouble);
        sleep(LOOKS).await;
    }
}

async fn look_once(folder: &DropFolder, door: &Door, seen: &mut Seen) -> io::Result<()> {
    let there = files_in(&folder.dir)?;
    seen.waiting.retain(|name, _| there.contains_key(name));
    seen.refused.retain(|name, (stamp, _)| there.get(name) == Some(stamp));
    for (name, stamp) in there {
        if seen.refused.contains_key(&name) || seen.waiting.insert(name.clone(), stamp) != Some(stamp) {
            continue;
        }
        let path = folder.dir.join(&name);
        let given = match read(&path, stamp) {
            Ok(Some(bytes)) => door.give(arrival(folder, &name, stamp, &bytes)).await,
            // It is being written still.
            Ok(None) => continue,
            Err(error) => Err(NotTaken::Refused(error.to_string())),
        };
        match given {
            Ok(task) => {
                tracing::info!(%name, task, "a dropped file became a task");
                take_away(&path, stamp)?;
            }
            Err(NotTaken::Refused(why)) => drop(seen.refused.insert(name, (stamp, why))),
            Err(NotTaken::NotNow(why)) => tracing::debug!(%name, why, "a dropped file waits"),
        }
    }
    Ok(())
}

/// Regular files that are whole, by their names.
fn files_in(dir: &Path) -> io::Result<BTreeMap<String, Stamp>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let is_whole = !name.starts_with(['.', '~']) && !HALF_DONE.iter().any(|end| name.ends_with(end));
        // Of a link it says that it is one.
        if let Some(metadata) = entry.metadata().ok().filter(|metadata| metadata.is_file() && is_whole) {
            files.insert(name, Stamp::of(&metadata));
        }
    }
    Ok(files)
}

/// Its content, if it is what was looked at.
fn read(path: &Path, stamp: Stamp) -> io::Result<Option<Vec<u8>>> {
    if stamp.length > BLOB_BYTES_MAX as u64 {
        return Err(io::Error::other(format!("it is larger than {} MiB", BLOB_BYTES_MAX >> 20)));
    }
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let mut bytes = Vec::new();
    (&file).take(stamp.length + 1).read_to_end(&mut bytes)?;
    let same = Stamp::of(&file.metadata()?) == stamp && bytes.len() as u64 == stamp.length;
    Ok(same.then_some(bytes))
}

/// Unless something else lies there by now.
fn take_away(path: &PathBuf, stamp: Stamp) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if Stamp::of(&metadata) == stamp => fs::remove_file(path),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn arrival(folder: &DropFolder, name: &str, stamp: Stamp, bytes: &[u8]) -> WireArrival {
    // The same file put there another day is another task.
    let (seconds, nanos) = stamp.changed;
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0')).unwrap_or_default();
    WireArrival {
        source: "drop".to_owned(),
        id: format!("{name} {} {seconds}.{nanos}", Hash::of_content(bytes)),
        kind: "file_drop".to_owned(),
        domain: folder.domain.clone(),
        is_private: folder.private,
        subject: name.to_owned(),
        text: text[..text.floor_char_boundary(TEXT_BYTES_MAX)].to_owned(),
        file: Some((name.to_owned(), BASE64.encode(bytes))),
        ..WireArrival::default()
    }
}

fn trouble_of_folder(dir: &Path, error: &io::Error) -> WireTrouble {
    WireTrouble {
        is_error: true,
        what: format!("the drop folder {} cannot be used: {error}", dir.display()),
        fix: "Make it, with the node's user as its owner, or change `[[drop]] dir` in config.toml.".to_owned(),
    }
}

fn trouble_of_files(dir: &Path, refused: &BTreeMap<String, (Stamp, String)>) -> Option<WireTrouble> {
    let (name, (_, why)) = refused.first_key_value()?;
    let more = refused.len() - 1;
    let more = if more == 0 { String::new() } else { format!(", and {more} more files") };
    Some(WireTrouble {
        is_error: false,
        what: format!("{name}{more} in {} became no task: {why}", dir.display()),
        fix: "Take it away, or put it there in another form or by another name.".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_regular_files_are_looked_at_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        for name in ["a.pdf", ".hidden", "b.part", "~lock", "c.csv"] {
            fs::write(dir.path().join(name), name).expect("written");
        }
        fs::create_dir(dir.path().join("folder")).expect("made");
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link.txt")).expect("linked");
        let files = files_in(dir.path()).expect("read");
        assert_eq!(files.keys().collect::<Vec<_>>(), ["a.pdf", "c.csv"]);
        let path = dir.path().join("a.pdf");
        assert_eq!(read(&path, files["a.pdf"]).expect("read").as_deref(), Some(&b"a.pdf"[..]));
        fs::write(&path, "grown longer").expect("written");
        assert_eq!(read(&path, files["a.pdf"]).expect("read"), None, "it is being written");
        take_away(&path, files["a.pdf"]).expect("left");
        assert!(path.exists(), "what came meanwhile stays");
        let link = dir.path().join("link.txt");
        assert!(read(&link, files["c.csv"]).is_err(), "a link is not followed");
    }

    #[test]
    fn a_file_that_is_put_there_again_another_day_is_another_task() {
        let folder = DropFolder { dir: PathBuf::from("/drop"), domain: "files".to_owned(), private: true };
        let stamp = |second| Stamp { length: 2, changed: (second, 0), inode: 1 };
        let first = arrival(&folder, "a.txt", stamp(1), b"hi");
        assert_eq!((first.kind.as_str(), first.text.as_str(), first.is_private), ("file_drop", "hi", true));
        assert_eq!(first.id, arrival(&folder, "a.txt", stamp(1), b"hi").id);
        assert_ne!(first.id, arrival(&folder, "a.txt", stamp(2), b"hi").id);
        assert_eq!(arrival(&folder, "a.bin", stamp(1), b"\xff\0").text, "");
    }
}
