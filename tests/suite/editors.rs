//! Two people with two editors on one vault, and a vault as people have them.

mod vault_shape;

use std::{
    fs::{self, OpenOptions},
    io::{Seek, SeekFrom, Write},
};

use crate::node::{Node, PATIENCE, Pair, becomes};

const NOTE: &str = "Plans/together.md";
const EDITS: usize = 100;

/// How programs save.
#[derive(Clone, Copy, Debug)]
enum Save {
    /// Over the old bytes, then cut to length.
    InPlace,
    /// Cut to nothing, then written.
    Truncate,
    /// Written beside, then renamed over.
    Rename,
    /// The old one moved aside, a new one written, the old one removed.
    Backup,
    /// Added at the end.
    Append,
}

const SAVES: [Save; 5] = [Save::InPlace, Save::Truncate, Save::Rename, Save::Backup, Save::Append];

fn save(node: &Node, save: Save, line: &str) {
    let path = node.vault.join(NOTE);
    let before = fs::read(&path).expect("the note is there");
    let beside = |suffix: &str| path.with_file_name(format!(".together.md{suffix}"));
    // A line is added in the middle, except by a program that can only append.
    let middle = before.iter().take(before.len() / 2).rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let text = [&before[..middle], line.as_bytes(), b"\n", &before[middle..]].concat();
    match save {
        Save::InPlace => {
            let mut file = OpenOptions::new().write(true).open(&path).expect("the note opens");
            file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(&text)).expect("written");
            file.set_len(text.len() as u64).and_then(|()| file.sync_all()).expect("cut");
        }
        Save::Truncate => fs::write(&path, text).expect("written"),
        Save::Rename => {
            fs::write(beside(".swp"), text).expect("written beside");
            fs::rename(beside(".swp"), &path).expect("renamed over");
        }
        Save::Backup => {
            fs::rename(&path, beside("~")).expect("moved aside");
            fs::write(&path, text).expect("written");
            fs::remove_file(beside("~")).expect("removed");
        }
        Save::Append => {
            let mut file = OpenOptions::new().append(true).open(&path).expect("the note opens");
            file.write_all(format!("{line}\n").as_bytes()).expect("added");
        }
    }
}

fn lines_of(node: &Node) -> Vec<String> {
    let bytes = node.read(NOTE).unwrap_or_default();
    String::from_utf8(bytes).expect("the note is UTF-8").lines().map(str::to_owned).collect()
}

fn assert_every_line_once(pair: &Pair, wanted: usize) {
    for node in [&pair.cloud, &pair.local] {
        let lines = lines_of(node);
        for number in 0..wanted {
            let line = format!("line {number}.");
            let count = lines.iter().filter(|found| **found == line).count();
            assert_eq!(count, 1, "{}: {line} in {lines:#?}", node.role);
        }
    }
    let conflicts = pair.local.json(&["conflicts", "list", "--json"]);
    assert_eq!(conflicts["items"], serde_json::json!([]));
}

#[test]
fn a_hundred_saves_of_every_kind_by_turns_are_all_in_both_vaults() {
    let pair = Pair::running();
    pair.local.save(NOTE, "---\nstatus: open\n---\n# Together\n\nfirst\nlast\n");
    pair.wait_same("the note is there", |files| files.contains_key(NOTE));
    for number in 0..EDITS {
        let (node, other) = if number % 2 == 0 { (&pair.cloud, &pair.local) } else { (&pair.local, &pair.cloud) };
        let line = format!("line {number}.");
        save(node, SAVES[(number / 2) % SAVES.len()], &line);
        let arrived = becomes(PATIENCE, || lines_of(other).contains(&line));
        assert!(arrived, "{line} does not arrive{}{}", pair.cloud.last_words(), pair.local.last_words());
    }
    pair.wait_same("the note is the same", |_| true);
    assert_every_line_once(&pair, EDITS);
}

/// Nobody waits for the other here; each adds lines without reading, so that no stale copy is written back.
#[test]
fn lines_added_on_both_sides_at_once_are_all_in_both_vaults() {
    let pair = Pair::running();
    pair.local.save(NOTE, "# Together\n");
    pair.wait_same("the note is there", |files| files.contains_key(NOTE));
    std::thread::scope(|scope| {
        for (node, first) in [(&pair.cloud, 0), (&pair.local, 1)] {
            scope.spawn(move || {
                for number in (first..EDITS).step_by(2) {
                    let path = node.vault.join(NOTE);
                    let mut file = OpenOptions::new().append(true).open(path).expect("the note is never gone");
                    file.write_all(format!("line {number}.\n").as_bytes()).expect("added");
                    drop(file);
                    // The pace of a program that logs, not a wait for anything.
                    std::thread::sleep(std::time::Duration::from_millis(15));
                }
            });
        }
    });
    pair.wait_same("every line is there", |files| {
        let text = String::from_utf8_lossy(&files[NOTE]).into_owned();
        (0..EDITS).all(|number| text.lines().any(|line| line == format!("line {number}.")) || is_kept(&pair, number))
    });
    for number in 0..EDITS {
        let line = format!("line {number}.");
        let count = lines_of(&pair.local).iter().filter(|found| **found == line).count();
        assert!(count == 1 || is_kept(&pair, number), "{line}: {count} times");
    }
}

/// A line written to a file that was exchanged in the same moment is kept beside, and told.
fn is_kept(pair: &Pair, number: usize) -> bool {
    let line = format!("line {number}.");
    [&pair.cloud, &pair.local].iter().any(|node| {
        let kept = fs::read_dir(node.home.join("mesh/holds")).into_iter().flatten().flatten();
        let mut texts = kept.filter_map(|file| fs::read_to_string(file.path()).ok());
        texts.any(|text| text.lines().any(|found| found == line))
    })
}
