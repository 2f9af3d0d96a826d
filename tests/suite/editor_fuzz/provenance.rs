//! Where every word comes from: who saved it and when, where it may lie since, and who took it out having read it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

use aiemp_tests::ledger::{Ledger, words_in};

/// Around the time of a lost word, what happened elsewhere is told as well.
const STORY_AROUND: Duration = Duration::from_secs(6);

/// A word, and what is known of it.
#[derive(Clone, Debug)]
pub(super) struct Saved {
    pub(super) by: &'static str,
    pub(super) at_ms: u64,
    /// Places at which it was saved, and those that its file was moved to.
    pub(super) paths: BTreeSet<String>,
}

/// Something that was done: when, where, and at which paths.
#[derive(Debug)]
struct Line {
    at_ms: u64,
    by: &'static str,
    did: String,
    paths: Vec<String>,
}

/// Every word that was saved, and the story of the day.
#[derive(Debug, Default)]
pub(super) struct Provenance {
    ledger: Ledger,
    saved: BTreeMap<String, Saved>,
    story: Vec<Line>,
}

pub(super) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time after 1970");
    u64::try_from(now.as_millis()).expect("a time of this age")
}

impl Provenance {
    /// A word that was never saved before.
    pub(super) fn word(&mut self) -> String {
        self.ledger.word(0, false, true)
    }

    /// A program is about to save `after` at a place; it read `before` there, and nothing else.
    pub(super) fn saves(&mut self, by: &'static str, how: &str, path: &str, before: &[u8], after: &[u8]) {
        self.ledger.replaced(before, after);
        let at_ms = now_ms();
        for word in words_in(after) {
            let saved = || Saved { by, at_ms, paths: BTreeSet::new() };
            self.saved.entry(word.to_owned()).or_insert_with(saved).paths.insert(path.to_owned());
        }
        let (old, new) = (set(before), set(after));
        let words = |words: &mut dyn Iterator<Item = &&str>| words.copied().collect::<Vec<_>>().join(" ");
        let (added, removed) = (words(&mut new.difference(&old)), words(&mut old.difference(&new)));
        self.tell(by, format!("saves {path} ({how}): + {added} - {removed}"), &[path]);
    }

    /// A person removed a file, having read this.
    pub(super) fn removed(&mut self, by: &'static str, path: &str, before: &[u8]) {
        self.ledger.replaced(before, b"");
        let words = set(before).into_iter().collect::<Vec<_>>().join(" ");
        self.tell(by, format!("removes {path}: - {words}"), &[path]);
    }

    /// What lay at a place was moved to another.
    pub(super) fn moved(&mut self, by: &'static str, from: &str, to: &str, content: &[u8]) {
        for word in words_in(content) {
            if let Some(saved) = self.saved.get_mut(word) {
                saved.paths.insert(to.to_owned());
            }
        }
        self.tell(by, format!("moves {from} to {to}"), &[from, to]);
    }

    /// Something else happened on a side.
    pub(super) fn happened(&mut self, by: &'static str, what: impl Into<String>) {
        self.tell(by, what.into(), &[]);
    }

    fn tell(&mut self, by: &'static str, did: String, paths: &[&str]) {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        self.story.push(Line { at_ms: now_ms(), by, did, paths });
    }

    /// How many words there are, and how many were taken out by somebody who had read them.
    pub(super) fn count(&self) -> (usize, usize) {
        (self.saved.len(), self.saved.keys().filter(|word| self.is_removed(word)).count())
    }

    fn is_removed(&self, word: &str) -> bool {
        self.ledger.words.get(word).is_some_and(|known| known.removed)
    }

    /// The words that a save of what was made from `read` would take off a disk, of those that this side saved. Of words
    /// that came from the other side its node knows.
    pub(super) fn takes_away(&self, by: &'static str, on_disk: &[u8], read: &[u8]) -> BTreeSet<String> {
        let (on_disk, read) = (set(on_disk), set(read));
        let is_own = |word: &&&str| self.saved.get(**word).is_some_and(|saved| saved.by == by);
        on_disk.difference(&read).filter(is_own).map(|word| (*word).to_owned()).collect()
    }

    /// The words that nobody took out on purpose and that are none of these.
    pub(super) fn absent(&self, seen: &BTreeSet<String>) -> Vec<(&str, &Saved)> {
        let is_absent = |word: &str| !seen.contains(word) && !self.is_removed(word);
        self.saved.iter().filter(|(word, _)| is_absent(word)).map(|(word, saved)| (word.as_str(), saved)).collect()
    }

    /// What was done at the places of a word, and on both nodes around the time at which it was saved.
    pub(super) fn story_of(&self, word: &str) -> String {
        let Some(saved) = self.saved.get(word) else { return String::new() };
        let start = self.story.first().map_or(saved.at_ms, |line| line.at_ms.min(saved.at_ms));
        let is_near = |line: &Line| Duration::from_millis(line.at_ms.abs_diff(saved.at_ms)) <= STORY_AROUND;
        let is_about = |line: &&Line| {
            line.did.contains(word) || is_near(line) && (line.paths.is_empty() || at_one_of(&line.paths, saved))
        };
        let at = saved.at_ms - start;
        let heading = format!("  {word}, saved on {} at {at} ms, lay at {:?}", saved.by, saved.paths);
        self.story.iter().filter(is_about).map(|line| line.told(start)).fold(heading, |story, line| story + &line)
    }

    /// What was done at these places, and with the nodes and their link.
    pub(super) fn story_at(&self, paths: &BTreeSet<&String>) -> String {
        let start = self.story.first().map_or(0, |line| line.at_ms);
        let is_about = |line: &&Line| line.paths.is_empty() || line.paths.iter().any(|path| paths.contains(path));
        self.story.iter().filter(is_about).map(|line| line.told(start)).collect()
    }
}

impl Line {
    fn told(&self, start: u64) -> String {
        format!("\n    {:>8} ms  {:<5}  {}", self.at_ms - start, self.by, self.did)
    }
}

fn at_one_of(paths: &[String], saved: &Saved) -> bool {
    paths.iter().any(|path| saved.paths.contains(path))
}

fn set(bytes: &[u8]) -> BTreeSet<&str> {
    words_in(bytes).collect()
}

#[test]
fn a_word_is_missed_unless_it_is_seen_or_somebody_who_read_it_took_it_out() {
    let mut provenance = Provenance::default();
    let [kept, removed, overwritten] = [provenance.word(), provenance.word(), provenance.word()];
    let both = format!("{kept}\n{removed}\n");
    provenance.saves("local", "in place", "Plans/a.md", b"", both.as_bytes());
    // Cloud's line came between the reading and the saving of Local.
    provenance.saves("cloud", "append", "Plans/a.md", b"", overwritten.as_bytes());
    provenance.saves("local", "in place", "Plans/a.md", both.as_bytes(), kept.as_bytes());
    provenance.moved("local", "Plans/a.md", "Plans/b.md", kept.as_bytes());
    let absent = |seen: &[&str]| {
        let seen = seen.iter().map(|word| (*word).to_owned()).collect();
        provenance
            .absent(&seen)
            .into_iter()
            .map(|(word, saved)| (word.to_owned(), saved.paths.len()))
            .collect::<Vec<_>>()
    };
    assert_eq!(absent(&[&kept]), [(overwritten.clone(), 1)]);
    assert_eq!(absent(&[&overwritten]), [(kept.clone(), 2)]);
    assert_eq!(absent(&[&kept, &overwritten]), []);
    assert_eq!(provenance.count(), (3, 1));
    assert!(provenance.story_of(&kept).contains("moves Plans/a.md to Plans/b.md"));
}
