//! Where the anchors of the rules stand in a text.
//!
//! Each place is looked up in four tables, one for each of its first four bytes, which say in which buckets an anchor
//! may begin so; only the anchors of a bucket that all four name are compared. No look-up waits for another, so this
//! is several times as fast as an automaton that goes from byte to byte.

use std::{collections::BTreeMap, ops::Range};

use super::rule::Rule;

const REACH: usize = 4;
const BUCKETS: usize = 64;

/// Places that are looked up between two branches.
const BLOCK: usize = 8;

/// The anchors of a table of rules.
pub(super) struct Anchors {
    /// By the place of a byte in an anchor and by the byte, the buckets in which an anchor has it there.
    tables: Box<[[u64; 256]; REACH]>,
    buckets: Vec<Vec<Anchor>>,
}

/// One anchor, with all rules that have it.
pub(super) struct Anchor {
    text: &'static [u8],
    any_case: bool,
    /// The bits of its first bytes that matter, and what they are.
    care: u32,
    first: u32,
    pub(super) rules: Vec<&'static Rule>,
}

impl Anchor {
    fn of(text: &'static [u8], any_case: bool) -> Self {
        let (mut care, mut first) = ([0; REACH], [0; REACH]);
        for ((care, first), byte) in care.iter_mut().zip(&mut first).zip(text) {
            *care = if any_case && byte.is_ascii_alphabetic() { !0x20 } else { !0 };
            *first = byte & *care;
        }
        let (care, first) = (u32::from_le_bytes(care), u32::from_le_bytes(first));
        Self { text, any_case, care, first, rules: Vec::new() }
    }

    fn begins(&self, bytes: [u8; REACH], text: &[u8]) -> bool {
        u32::from_le_bytes(bytes) & self.care == self.first
            && text.get(..self.text.len()).is_some_and(|there| self.is(there))
    }

    fn is(&self, there: &[u8]) -> bool {
        if self.any_case { there.eq_ignore_ascii_case(self.text) } else { there == self.text }
    }

    /// Where it stands first in a short text.
    pub(super) fn place_in(&self, text: &[u8]) -> Option<usize> {
        let (first, length) = (*self.text.first()?, self.text.len());
        let other = if self.any_case { first ^ (0x20 * u8::from(first.is_ascii_alphabetic())) } else { first };
        let mut places = memchr::memchr2_iter(first, other, text);
        places.find(|at| text.get(*at..*at + length).is_some_and(|there| self.is(there)))
    }
}

impl Anchors {
    /// Sorts the anchors into buckets, those that begin alike beside each other.
    pub(super) fn of(rules: impl Iterator<Item = &'static Rule>) -> Self {
        let mut sorted: BTreeMap<(Vec<u8>, &[u8], bool), Anchor> = BTreeMap::new();
        for rule in rules {
            for text in rule.anchors.iter().map(|anchor| anchor.as_bytes()) {
                let lower = text.to_ascii_lowercase();
                let exact = if rule.context { &[] } else { text };
                let anchor = Anchor::of(text, rule.context);
                sorted.entry((lower, exact, rule.context)).or_insert(anchor).rules.push(rule);
            }
        }
        let size = sorted.len().div_ceil(BUCKETS).max(1);
        let mut buckets: Vec<Vec<Anchor>> = Vec::new();
        for anchor in sorted.into_values() {
            match buckets.last_mut().filter(|bucket| bucket.len() < size) {
                Some(bucket) => bucket.push(anchor),
                None => buckets.push(vec![anchor]),
            }
        }
        let mut tables = Box::new([[0; 256]; REACH]);
        for (number, bucket) in buckets.iter().enumerate() {
            for anchor in bucket {
                for (place, table) in tables.iter_mut().enumerate() {
                    admit(table, anchor, place, 1 << number);
                }
            }
        }
        Self { tables, buckets }
    }

    /// Calls `found` with each anchor in `text`, in the order of the places where they begin.
    pub(super) fn each(&self, text: &[u8], mut found: impl FnMut(Range<usize>, &Anchor)) {
        #[cfg(test)]
        if super::plain::is_on() {
            return self.each_plainly(text, found);
        }
        let mut compare = |at: usize, bytes: [u8; REACH], mut buckets: u64| {
            while buckets != 0 {
                for anchor in &self.buckets[buckets.trailing_zeros() as usize] {
                    if anchor.begins(bytes, &text[at..]) {
                        found(at..at + anchor.text.len(), anchor);
                    }
                }
                buckets &= buckets - 1;
            }
        };
        let mut at = 0;
        while let Some(block) = text[at..].first_chunk::<{ BLOCK + REACH - 1 }>() {
            let mut places = [0; BLOCK];
            let mut any = 0;
            let mut place = 0;
            while place < BLOCK {
                let bytes = [block[place], block[place + 1], block[place + 2], block[place + 3]];
                places[place] = self.admitted(bytes);
                any |= places[place];
                place += 1;
            }
            if any != 0 {
                for (place, buckets) in places.iter().enumerate().filter(|(_, buckets)| **buckets != 0) {
                    let bytes = [block[place], block[place + 1], block[place + 2], block[place + 3]];
                    compare(at + place, bytes, *buckets);
                }
            }
            at += BLOCK;
        }
        for at in at..text.len() {
            let mut bytes = [0; REACH];
            bytes.iter_mut().zip(&text[at..]).for_each(|(to, from)| *to = *from);
            compare(at, bytes, self.admitted(bytes));
        }
    }

    /// The same, by an automaton of all anchors.
    #[cfg(test)]
    fn each_plainly(&self, text: &[u8], mut found: impl FnMut(Range<usize>, &Anchor)) {
        static AUTOMATON: std::sync::OnceLock<aho_corasick::AhoCorasick> = std::sync::OnceLock::new();
        let every: Vec<&Anchor> = self.buckets.iter().flatten().collect();
        let automaton = AUTOMATON.get_or_init(|| {
            let mut builder = aho_corasick::AhoCorasick::builder();
            builder.ascii_case_insensitive(true).build(every.iter().map(|anchor| anchor.text)).unwrap()
        });
        for hit in automaton.find_overlapping_iter(text) {
            let anchor = every[hit.pattern().as_usize()];
            if anchor.any_case || text[hit.range()] == *anchor.text {
                found(hit.range(), anchor);
            }
        }
    }

    #[inline]
    fn admitted(&self, [a, b, c, d]: [u8; REACH]) -> u64 {
        let [first, second, third, fourth] = &*self.tables;
        first[usize::from(a)] & second[usize::from(b)] & third[usize::from(c)] & fourth[usize::from(d)]
    }
}

/// Enters the byte that an anchor has at a place; behind its end it may be any.
fn admit(table: &mut [u64; 256], anchor: &Anchor, place: usize, bucket: u64) {
    for (byte, buckets) in (0..=u8::MAX).zip(table) {
        let fits = anchor
            .text
            .get(place)
            .is_none_or(|own| if anchor.any_case { own.eq_ignore_ascii_case(&byte) } else { *own == byte });
        if fits {
            *buckets |= bucket;
        }
    }
}
