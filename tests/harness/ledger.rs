//! What people saved: words that occur once, who may read them, and whether a person took them out again.

use std::collections::{BTreeMap, BTreeSet};

use aiemp_protocol::{active, ids::ConflictId, vault_path::VaultPath};

/// The mark of a word that was typed where only Local nodes read.
pub const PRIVATE_MARK: &str = "Privat";

/// One word.
#[derive(Clone, Debug)]
pub struct Word {
    /// The node it was typed on.
    pub node: usize,
    /// Whether a person removed it, or the file it stood in, having seen it.
    pub removed: bool,
    /// Whether the file is text, so that merging keeps both sides visible.
    pub in_text: bool,
    /// Whether a person carried it out of the private folders.
    pub published: bool,
}

/// Every word that was saved.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// By the word itself.
    pub words: BTreeMap<String, Word>,
    /// Active content that a person at a Local saved or released.
    pub released: BTreeSet<ConflictId>,
    next: u64,
}

impl Ledger {
    /// A new word, typed on a node.
    pub fn word(&mut self, node: usize, private: bool, in_text: bool) -> String {
        self.next += 1;
        // Neighbours in time share neither beginning nor end.
        let scattered = self.next.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17) & 0xffff_ffff;
        let mark = if private { PRIVATE_MARK } else { "Wort" };
        let word = format!("{mark}{scattered:08x}n{}x", self.next);
        self.words.insert(word.clone(), Word { node, removed: false, in_text, published: !private });
        word
    }

    /// The word came with a content that replaced a whole file, as those of files that are no text do.
    pub fn is_of_whole_file(&mut self, word: &str) {
        if let Some(known) = self.words.get_mut(word) {
            known.in_text = false;
        }
    }

    /// A person replaced `before` by `after`, having read it.
    pub fn replaced(&mut self, before: &[u8], after: &[u8]) {
        let kept = words_in(after);
        for word in words_in(before).filter(|word| !kept.clone().any(|other| other == *word)) {
            if let Some(known) = self.words.get_mut(word) {
                known.removed = true;
            }
        }
    }

    /// A person put content where others may read it.
    pub fn published(&mut self, content: &[u8]) {
        for word in words_in(content) {
            if let Some(known) = self.words.get_mut(word) {
                known.published = true;
            }
        }
    }

    /// A person at a Local saved this. What is no note there may become one, where another Local renames it.
    pub fn saved_at_local(&mut self, path: &VaultPath, content: &[u8]) {
        let note = VaultPath::parse("note.md").expect("a plain name");
        let found = [path, &note].into_iter().flat_map(|path| active::find(path, content));
        self.released.extend(found.map(|finding| finding.release));
    }

    /// Private words that no person carried out, in these bytes.
    pub fn leaked<'a>(&'a self, bytes: &'a [u8]) -> Option<&'a str> {
        if !bytes.windows(PRIVATE_MARK.len()).any(|window| window == PRIVATE_MARK.as_bytes()) {
            return None;
        }
        words_in(bytes).find(|word| self.words.get(*word).is_some_and(|known| !known.published))
    }
}

/// The words of the ledger's form in these bytes: a mark, eight hexadecimal digits, `n`, a number, `x`.
pub fn words_in(bytes: &[u8]) -> impl Iterator<Item = &str> + Clone {
    let starts = (0..bytes.len()).filter(|at| matches!(bytes[*at], b'W' | b'P'));
    starts.filter_map(|at| {
        let rest = &bytes[at..];
        let mark = [PRIVATE_MARK, "Wort"].into_iter().find(|mark| rest.starts_with(mark.as_bytes()))?;
        let number_at = mark.len() + 9;
        let digits = rest.get(number_at..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let word = rest.get(..=number_at + digits)?;
        let fits = rest[number_at - 1] == b'n' && digits > 0 && word.ends_with(b"x");
        std::str::from_utf8(word).ok().filter(|_| fits)
    })
}
