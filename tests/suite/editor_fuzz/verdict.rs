//! What must hold at the end of the day: nothing that was saved is lost, and both sides say the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    sync::Mutex,
    time::Duration,
};

use aiemp_node::{
    home::Home,
    shell::control::{Client, Request, Response},
};
use aiemp_protocol::vault_path::VaultPath;
use aiemp_tests::ledger::words_in;
use data_encoding::BASE64;
use serde_json::Value;

use super::{
    editor::Editor,
    provenance::{Provenance, Saved},
};
use crate::node::{Node, PATIENCE, Pair, becomes, differences};

/// From when to when after a save, and how densely, `history` is asked for what the file said.
const GLANCE: [(u64, u64, usize); 2] = [(0, 600, 20), (600, 8_000, 100)];
const SEARCH: [(u64, u64, usize); 2] = [(0, 3_000, 4), (3_000, 60_000, 200)];

/// A save that reached a file after it was replaced is found within this time.
const LATE_SAVES_WITHIN: Duration = Duration::from_secs(15);

/// Where the words of the day are.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    words: usize,
    removed: usize,
    in_files: usize,
    in_conflicts: usize,
    in_holds: usize,
    in_history: usize,
    in_one_history: usize,
    conflicts: usize,
    files: usize,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { words, removed, in_files, in_conflicts, in_holds, in_history, in_one_history, conflicts, files } =
            self;
        write!(
            f,
            "{words} words saved, {removed} of them taken out by somebody who had read them; the others: {in_files} in \
             {files} files, {in_conflicts} in {conflicts} conflicts alone, {in_holds} held, {in_history} in history \
             ({in_one_history} on one node alone)"
        )
    }
}

fn words_of(bytes: &[u8]) -> impl Iterator<Item = String> {
    words_in(bytes).map(str::to_owned)
}

fn conflicts(node: &Node) -> Value {
    let mut listed = node.json(&["conflicts", "list", "--json"]);
    let items = listed["items"].as_array_mut().expect("a listing has items");
    items.sort_by_key(|item| item["id"].to_string());
    // What did not sync is each node's own.
    listed["holds"] = Value::Null;
    listed
}

/// What a node could not take, and keeps where it was saved.
fn held(node: &Node) -> BTreeSet<String> {
    let holds = fs::read_dir(node.home.join("mesh/holds")).into_iter().flatten().flatten();
    let texts = holds.filter_map(|file| fs::read(file.path()).ok());
    texts.flat_map(|bytes| words_of(&bytes).collect::<Vec<_>>()).collect()
}

fn is_quiet(node: &Node) -> bool {
    let status = node.json(&["status", "--json"]);
    let in_step = |peer: &Value| peer["connected"] == true && peer["lag_entries"] == 0;
    status["settled"] == true && status["peers"].as_array().is_some_and(|peers| peers.iter().all(in_step))
}

type Files = BTreeMap<String, Vec<u8>>;

/// What both vaults show. What Cloud makes where Local alone may write stays there, is held, and comes to nobody.
fn files(pair: &Pair) -> (Files, Files) {
    let (mut cloud, local) = (pair.cloud.shared(), pair.local.shared());
    cloud.retain(|path, _| !path.starts_with("Done/") || local.contains_key(path));
    (cloud, local)
}

/// Waits until nothing is under way, both vaults are the same, and both nodes list the same conflicts.
fn converge(pair: &Pair, editors: &mut [Editor<'_>]) -> Result<Value, String> {
    let mut listed = (Value::Null, Value::Null);
    let is_same = becomes(PATIENCE, || {
        editors.iter_mut().for_each(Editor::part_twins);
        let (cloud, local) = files(pair);
        if cloud != local || !is_quiet(&pair.cloud) || !is_quiet(&pair.local) {
            return false;
        }
        listed = (conflicts(&pair.cloud), conflicts(&pair.local));
        listed.0 == listed.1 && (cloud, local) == files(pair)
    });
    if is_same {
        return Ok(listed.0);
    }
    let logs = format!("{}{}", pair.cloud.last_words(), pair.local.last_words());
    let (cloud, local) = files(pair);
    let differs = differences(&cloud, &local);
    Err(format!("the two do not come to say the same:\n{differs}conflicts {listed:#?}{logs}"))
}

/// What a path said at a time, as a node knows it.
fn said(client: &mut Client, path: &str, at_ms: u64) -> Vec<u8> {
    let asked = client.ask(&Request::Past { path: path.to_owned(), at_ms, restore: false }).expect("the node answers");
    let Response::Past { contents, .. } = asked else { return Vec::new() };
    let contents = contents.iter().flatten().map(|content| BASE64.decode(content.as_bytes()));
    contents.flat_map(|content| content.expect("the content is base64")).collect()
}

/// Whether a node knows that one of the places of a word once said it.
fn in_history(node: &Node, word: &str, saved: &Saved, looks: &[(u64, u64, usize)]) -> bool {
    let socket = Home::at(&node.home).control_socket();
    let mut client = Client::connect(&socket).expect("the node answers").expect("the node runs");
    let bare =
        saved.paths.iter().filter_map(|path| Some(VaultPath::parse(path).ok()?.without_stem_suffix()?.to_string()));
    let paths: BTreeSet<String> = saved.paths.iter().cloned().chain(bare).collect();
    let mut times = looks.iter().flat_map(|(from, to, step)| (saved.at_ms + from..saved.at_ms + to).step_by(*step));
    times.any(|at| paths.iter().any(|path| words_in(&said(&mut client, path, at)).any(|found| found == word)))
}

/// Whether a conflict may hold a word that it does not show: what is no text is chosen by its length.
fn is_of_conflict(listed: &Value, saved: &Saved) -> bool {
    let of_whole_file = saved.paths.iter().any(|path| path.ends_with(".bin"));
    let mut items = listed["items"].as_array().into_iter().flatten();
    of_whole_file && items.any(|item| item["path"].as_str().is_some_and(|path| saved.paths.contains(path)))
}

/// Whether a node's store has the word, though nothing shows it.
fn is_stored(node: &Node, word: &str) -> bool {
    let files = ["store.sqlite", "store.sqlite-wal"].map(|name| fs::read(node.home.join("mesh").join(name)));
    files.iter().flatten().any(|bytes| words_in(bytes).any(|found| found == word))
}

/// Looks for every word; tells where they are, or the story of each that is nowhere.
pub(super) fn judge(
    pair: &Pair,
    provenance: &Mutex<Provenance>,
    editors: &mut [Editor<'_>],
) -> Result<Verdict, String> {
    let mut verdict = Verdict::default();
    let (mut lost, mut differs) = (Vec::new(), None);
    becomes(LATE_SAVES_WITHIN, || {
        let listed = match converge(pair, editors) {
            Ok(listed) => listed,
            Err(why) => {
                differs = Some(why);
                return true;
            }
        };
        let provenance = provenance.lock().expect("nobody panics here");
        (verdict.words, verdict.removed) = provenance.count();
        let (_, files) = files(pair);
        verdict.files = files.len();
        verdict.conflicts = listed["items"].as_array().map_or(0, Vec::len);
        let mut seen: BTreeSet<String> = BTreeSet::new();
        let absent = |seen: &mut BTreeSet<String>, more: &mut dyn Iterator<Item = String>| {
            let before = provenance.absent(seen).len();
            seen.extend(more);
            before - provenance.absent(seen).len()
        };
        let texts = files.values().flat_map(|bytes| words_of(bytes).collect::<Vec<_>>());
        verdict.in_files = absent(&mut seen, &mut texts.into_iter());
        verdict.in_conflicts = absent(&mut seen, &mut words_of(listed.to_string().as_bytes()));
        verdict.in_holds = absent(&mut seen, &mut [&pair.cloud, &pair.local].into_iter().flat_map(held));
        (verdict.in_history, verdict.in_one_history) = (0, 0);
        lost.clear();
        for (word, saved) in provenance.absent(&seen) {
            let nodes = [&pair.cloud, &pair.local];
            let glance = |node: &&&Node| in_history(node, word, saved, &GLANCE);
            let mut known = nodes.iter().filter(glance).count();
            if known == 0 {
                known = nodes.iter().filter(|node| in_history(node, word, saved, &SEARCH)).count();
            }
            verdict.in_history += usize::from(known > 0);
            verdict.in_one_history += usize::from(known == 1);
            if known == 0 {
                let is_hidden = is_of_conflict(&listed, saved) && nodes.iter().all(|node| is_stored(node, word));
                verdict.in_conflicts += usize::from(is_hidden);
                lost.extend((!is_hidden).then(|| word.to_owned()));
            }
        }
        lost.is_empty()
    });
    let provenance = provenance.lock().expect("nobody panics here");
    if let Some(why) = differs {
        let (cloud, local) = files(pair);
        let differing = cloud.keys().chain(local.keys()).filter(|path| cloud.get(*path) != local.get(*path)).collect();
        return Err(format!("{why}{}", provenance.story_at(&differing)));
    }
    if lost.is_empty() {
        return Ok(verdict);
    }
    let story = |word: &String| {
        let stored = [&pair.cloud, &pair.local].map(|node| is_stored(node, word));
        format!("{}\n    (stored by cloud, local: {stored:?})", provenance.story_of(word))
    };
    let stories: Vec<_> = lost.iter().map(story).collect();
    Err(format!("{} saved words are lost ({verdict}):\n{}", lost.len(), stories.join("\n")))
}
