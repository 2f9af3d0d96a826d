//! Folders whose files become tasks.

use std::{
    collections::BTreeMap,
    fs::{self, File, Metadata},
    io::{self, Read as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use aiemp_keys::Hash;
use aiemp_protocol::{limits::BLOB_BYTES_MAX, time::Timestamp};
use data_encoding::BASE64;
use tokio::time::sleep;

use super::door::{Door, NotTaken};
use crate::{
    config::DropFolder,
    shell::control::{WireArrival, WireTrouble},
};

/// How often a folder is looked at.
const LOOKS: Duration = Duration::from_secs(1);
/// How long nobody may have written to a file that is taken.
const QUIET: Duration = Duration::from_secs(3);
/// How much of a text stands in its task.
const TEXT_BYTES_MAX: usize = 16 << 10;
/// Names that programs give to what is not whole yet.
const HALF_DONE: [&str; 5] = [".part", ".partial", ".crdownload", ".download", ".tmp"];
/// Where files go that became tasks, within the folder. Whoever writes to one still writes to it there.
const TAKEN: &str = ".taken";
/// How long they stay there.
const TAKEN_FOR: Duration = Duration::from_secs(86_400);
/// What became no task is tried again so often.
const AGAIN: Duration = Duration::from_secs(60);

/// What a look finds of a file: while it stays, nobody writes it, nor puts another in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    length: u64,
    changed: (i64, i64),
    /// Also of its name.
    touched: (i64, i64),
    inode: u64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            length: metadata.len(),
            changed: (metadata.mtime(), metadata.mtime_nsec()),
            touched: (metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
        }
    }

    /// Whether it is the same content, also under another name.
    fn is_content_of(&self, other: &Self) -> bool {
        (self.length, self.changed, self.inode) == (other.length, other.changed, other.inode)
    }
}

/// What is known of a folder's files.
#[derive(Debug, Default)]
struct Seen {
    waiting: BTreeMap<String, Stamp>,
    /// What became no task, or cannot be taken away, and why.
    refused: BTreeMap<String, Refused>,
    /// When [`TAKEN`] was looked through.
    swept: Option<Instant>,
}

#[derive(Debug)]
struct Refused {
    stamp: Stamp,
    why: String,
    until: Instant,
}

/// Looks at a folder again and again.
pub(super) async fn look(folder: DropFolder, door: Door) {
    let (mut seen, name) = (Seen::default(), format!("drop {}", folder.dir.display()));
    let was_there = folder.dir.is_dir();
    loop {
        let trouble = match look_once(&folder, &door, &mut seen).await {
            Err(error) => Some(trouble_of_folder(&folder.dir, &error)),
            Ok(()) => trouble_of_files(&folder.dir, &seen.refused),
        };
        door.tell(&name, trouble);
        if !was_there && folder.dir.is_dir() {
            door.start_again();
        }
        sleep(LOOKS).await;
    }
}

async fn look_once(folder: &DropFolder, door: &Door, seen: &mut Seen) -> io::Result<()> {
    let dir = folder.dir.clone();
    let (there, odd) = blocking(move || files_in(&dir)).await?;
    seen.waiting.retain(|name, _| there.contains_key(name));
    seen.refused.retain(|name, refused| there.get(name) == Some(&refused.stamp) && refused.until > Instant::now());
    for (name, stamp) in odd {
        let why = "its name is no UTF-8".to_owned();
        seen.refused.insert(name, Refused { stamp, why, until: Instant::now() + AGAIN });
    }
    for (name, stamp) in there {
        if seen.refused.contains_key(&name) || seen.waiting.insert(name.clone(), stamp) != Some(stamp) {
            continue;
        }
        if let Err(why) = take(folder, door, &name, stamp).await {
            seen.refused.insert(name, Refused { stamp, why, until: Instant::now() + AGAIN });
        }
    }
    if seen.swept.is_none_or(|swept| swept.elapsed() > AGAIN) {
        seen.swept = Some(Instant::now());
        let dir = folder.dir.clone();
        blocking(move || sweep(&dir)).await.ok();
    }
    Ok(())
}

/// Makes a task of a file; an error says why there is none, or why the file is still there.
async fn take(folder: &DropFolder, door: &Door, name: &str, stamp: Stamp) -> Result<(), String> {
    let (of, called) = (folder.clone(), name.to_owned());
    let read = blocking(move || {
        read(&of.dir.join(&called), stamp).map(|bytes| bytes.map(|bytes| arrival(&of, &called, stamp, &bytes)))
    });
    let arrival = match read.await {
        Ok(Some(arrival)) => arrival,
        // It is being written still.
        Ok(None) => return Ok(()),
        Err(error) => return Err(format!("it became no task: {error}")),
    };
    match door.give(arrival).await {
        Ok(task) => tracing::info!(%name, task, "a dropped file became a task"),
        Err(NotTaken::Refused(why)) => return Err(format!("it became no task: {why}")),
        Err(NotTaken::NotNow(why)) => {
            tracing::debug!(%name, why, "a dropped file waits");
            return Ok(());
        }
    }
    let (dir, called) = (folder.dir.clone(), name.to_owned());
    let away = blocking(move || take_away(&dir, &called, stamp)).await;
    away.map_err(|error| format!("it became a task, and cannot be taken away: {error}"))
}

/// Runs what blocks on a thread that may.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

type Files = BTreeMap<String, Stamp>;

/// Regular files that are whole, by their names; and those whose names cannot be told as they are.
fn files_in(dir: &Path) -> io::Result<(Files, Files)> {
    let (mut files, mut odd) = (Files::new(), Files::new());
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        // Of a link it says that it is one.
        let Some(metadata) = entry.metadata().ok().filter(Metadata::is_file) else { continue };
        let (name, stamp) = (entry.file_name(), Stamp::of(&metadata));
        match name.into_string() {
            Ok(name) if name.starts_with(['.', '~']) || HALF_DONE.iter().any(|end| name.ends_with(end)) => {}
            Ok(name) => drop(files.insert(name, stamp)),
            Err(name) => drop(odd.insert(name.to_string_lossy().into_owned(), stamp)),
        }
    }
    Ok((files, odd))
}

/// Its content, if it is what was looked at, and nobody wrote to it of late.
fn read(path: &Path, stamp: Stamp) -> io::Result<Option<Vec<u8>>> {
    if stamp.length > BLOB_BYTES_MAX as u64 {
        return Err(io::Error::other(format!("it is larger than {} MiB", BLOB_BYTES_MAX >> 20)));
    }
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let written = file.metadata()?.modified()?;
    if SystemTime::now().duration_since(written).is_ok_and(|since| since < QUIET) {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    (&file).take(stamp.length + 1).read_to_end(&mut bytes)?;
    let same = Stamp::of(&file.metadata()?) == stamp && bytes.len() as u64 == stamp.length;
    Ok(same.then_some(bytes))
}

/// Into the folder of what was taken. What somebody put in its place meanwhile comes back.
fn take_away(dir: &Path, name: &str, stamp: Stamp) -> io::Result<()> {
    let taken = dir.join(TAKEN);
    match fs::DirBuilder::new().mode(0o700).create(&taken) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let to = taken.join(format!("{}_{name}", stamp.inode));
    match fs::rename(dir.join(name), &to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        renamed => renamed?,
    }
    if !Stamp::of(&fs::symlink_metadata(&to)?).is_content_of(&stamp) {
        put_back(dir, &to, name)?;
    }
    Ok(())
}

/// Never over anything else.
fn put_back(dir: &Path, from: &Path, name: &str) -> io::Result<()> {
    let flags = rustix::fs::RenameFlags::NOREPLACE;
    let cwd = rustix::fs::CWD;
    Ok(rustix::fs::renameat_with(cwd, from, cwd, dir.join(name), flags)?)
}

/// Removes what was taken a day ago. What somebody wrote to since then is a new file, and comes back.
fn sweep(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir.join(TAKEN))? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        let stamp = Stamp::of(&metadata);
        let name = entry.file_name().to_string_lossy().into_owned();
        let name = name.split_once('_').map_or(name.as_str(), |(_, name)| name);
        let moved = SystemTime::UNIX_EPOCH + Duration::from_secs(stamp.touched.0.max(0).cast_unsigned());
        // A write sets both times at once, the move that took it the one alone, some time later.
        if stamp.touched.0.abs_diff(stamp.changed.0) <= 1 {
            put_back(dir, &entry.path(), name)?;
        } else if SystemTime::now().duration_since(moved).is_ok_and(|since| since > TAKEN_FOR) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn arrival(folder: &DropFolder, name: &str, stamp: Stamp, bytes: &[u8]) -> WireArrival {
    // The same file put there another time is another task: its name changed then, if nothing else did.
    let Stamp { changed, touched, inode, .. } = stamp;
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0')).unwrap_or_default();
    WireArrival {
        source: "drop".to_owned(),
        id: format!("{name} {} {changed:?} {touched:?} {inode}", Hash::of_content(bytes)),
        kind: "file_drop".to_owned(),
        domain: folder.domain.clone(),
        is_private: folder.private || folder.bank.is_some(),
        bank: folder.bank.clone(),
        subject: name.to_owned(),
        received: u64::try_from(changed.0)
            .ok()
            .map(|seconds| Timestamp::from_millis(seconds.saturating_mul(1000)).to_string()),
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

fn trouble_of_files(dir: &Path, refused: &BTreeMap<String, Refused>) -> Option<WireTrouble> {
    let (name, Refused { why, .. }) = refused.first_key_value()?;
    let more = refused.len() - 1;
    let more = if more == 0 { String::new() } else { format!(" (and {more} more files there)") };
    Some(WireTrouble {
        is_error: false,
        what: format!("{name} in {}: {why}{more}", dir.display()),
        fix: "Take it away, or put it there in another form or by another name; it is tried again each minute."
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// As if it had been left alone for a while.
    fn age(path: &Path) {
        let before = SystemTime::now() - Duration::from_secs(60);
        File::options().append(true).open(path).and_then(|file| file.set_modified(before)).expect("dated");
    }

    #[test]
    fn whole_regular_files_are_looked_at_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        for name in ["a.pdf", ".hidden", "b.part", "~lock", "c.csv"] {
            fs::write(dir.path().join(name), name).expect("written");
        }
        fs::create_dir(dir.path().join("folder")).expect("made");
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link.txt")).expect("linked");
        let path = dir.path().join("a.pdf");
        let (files, _) = files_in(dir.path()).expect("read");
        assert_eq!(files.keys().collect::<Vec<_>>(), ["a.pdf", "c.csv"]);
        assert_eq!(read(&path, files["a.pdf"]).expect("read"), None, "it may be written still");
        age(&path);
        let stamp = files_in(dir.path()).expect("read").0["a.pdf"];
        assert_eq!(read(&path, stamp).expect("read").as_deref(), Some(&b"a.pdf"[..]));
        let link = dir.path().join("link.txt");
        assert!(read(&link, stamp).is_err(), "a link is not followed");
    }

    #[test]
    fn what_was_taken_is_kept_for_a_day_and_what_came_meanwhile_comes_back() {
        let dir = tempfile::tempdir().expect("a folder");
        let (path, there) = (dir.path().join("a.txt"), || files_in(dir.path()).expect("read").0);
        fs::write(&path, "first").expect("written");
        age(&path);
        let mut writer = File::options().append(true).open(&path).expect("opened");
        let stamp = there()["a.txt"];
        // Another in its place.
        fs::write(dir.path().join("b"), "another, and longer").expect("written");
        fs::rename(dir.path().join("b"), &path).expect("renamed");
        take_away(dir.path(), "a.txt", stamp).expect("looked at");
        assert_eq!(fs::read_to_string(&path).expect("it is back"), "another, and longer");
        age(&path);
        let mut slow = File::options().append(true).open(&path).expect("opened");
        take_away(dir.path(), "a.txt", there()["a.txt"]).expect("taken");
        assert_eq!(there().len(), 0);
        sweep(dir.path()).expect("swept");
        assert_eq!((there().len(), fs::read_dir(dir.path().join(TAKEN)).expect("read").count()), (0, 1));
        // Somebody wrote slowly: what was written into what was taken is not lost.
        std::io::Write::write_all(&mut slow, b", and the rest").expect("written");
        sweep(dir.path()).expect("swept");
        assert_eq!(fs::read_to_string(&path).expect("it is back"), "another, and longer, and the rest");
        std::io::Write::write_all(&mut writer, b"x").ok();
    }

    #[test]
    fn a_file_that_is_put_there_again_another_time_is_another_task() {
        let folder = DropFolder { dir: PathBuf::from("/drop"), domain: "files".to_owned(), private: true, bank: None };
        let stamp = |touched| Stamp { length: 2, changed: (1, 0), touched: (touched, 0), inode: 1 };
        let first = arrival(&folder, "a.txt", stamp(1), b"hi");
        assert_eq!((first.kind.as_str(), first.text.as_str(), first.is_private), ("file_drop", "hi", true));
        assert_eq!(first.received.as_deref(), Some("1970-01-01T00:00:01Z"));
        assert_eq!(first.id, arrival(&folder, "a.txt", stamp(1), b"hi").id);
        assert_ne!(first.id, arrival(&folder, "a.txt", stamp(2), b"hi").id);
        assert_eq!(arrival(&folder, "a.bin", stamp(1), b"\xff\0").text, "");
    }
}
