//! The table of credential kinds, and the search that finds them all in one pass.

mod cloud;
mod code;
mod keys;
mod messages;
mod models;
mod payments;
mod services;

use std::{ops::Range, sync::LazyLock};

use super::{
    anchors::{Anchor, Anchors},
    reading::Reading,
    rule::{BROKEN_BYTES_MAX, Match, Rule},
    seams,
};

const TABLES: [&[Rule]; 7] =
    [cloud::RULES, code::RULES, keys::RULES, messages::RULES, models::RULES, payments::RULES, services::RULES];

/// A piece of a broken value that has at least so many letters, and nothing but letters, may be a word of the text.
const WORD_LEN_MIN: usize = 4;

/// The anchors of every rule.
static ANCHORS: LazyLock<Anchors> = LazyLock::new(|| Anchors::of(every()));

/// Every rule of the table.
pub(super) fn every() -> impl Iterator<Item = &'static Rule> {
    TABLES.iter().flat_map(|table| table.iter())
}

/// A credential found in a text.
#[derive(Clone, Copy)]
pub(super) struct Credential<'a> {
    pub(super) kind: &'static str,
    /// Where it begins.
    pub(super) start: usize,
    /// Its bytes, without the white space that it was broken by.
    pub(super) value: &'a [u8],
}

/// Finds every credential, whole, broken by white space behind its anchor, or broken by a line end in it.
pub(super) fn search(text: &[u8], mut found: impl FnMut(Credential<'_>)) {
    search_anchors(text, &mut found);
    seams::each(text, BROKEN_BYTES_MAX, |seam| {
        for rule in seam.rules {
            let mut reading = Reading::of(seam.joined);
            let Range { start, end } = seam.anchor;
            let value = match rule.read(&mut reading, start, end, |_| false) {
                Ok(Match { start, end, .. }) => Some(&seam.joined[start..end]).filter(|value| has_digits(value)),
                Err(stop) if stop > end && rule.may_be_broken() && breaks(seam.joined, stop) => {
                    let broken = Broken::of(seam.joined, seam.anchor.clone(), seam.joined.len());
                    if let Some(value) = broken.read(rule) {
                        found(Credential { kind: rule.kind, start: seam.start, value });
                    }
                    None
                }
                Err(_) => None,
            };
            if let Some(value) = value {
                found(Credential { kind: rule.kind, start: seam.start, value });
            }
        }
    });
}

/// Words have none: a value that was put together has to have some.
fn has_digits(body: &[u8]) -> bool {
    body.iter().filter(|byte| byte.is_ascii_digit()).count() >= 2
}

fn search_anchors(text: &[u8], found: &mut impl FnMut(Credential<'_>)) {
    let mut reading = Reading::of(text);
    ANCHORS.each(text, |range, anchor| {
        // Rules that share an anchor share what stands behind it.
        let (mut reach, mut broken) = (None, None);
        for rule in &anchor.rules {
            match rule.read(&mut reading, range.start, range.end, |_| false) {
                Ok(Match { start, end, .. }) => found(Credential { kind: rule.kind, start, value: &text[start..end] }),
                Err(stop) if stop > range.end && rule.may_be_broken() && breaks(text, stop) => {
                    let reach = *reach.get_or_insert_with(|| reach_of(text, &range, anchor));
                    if !rule.may_go_on(&text[range.end..reach]) {
                        continue;
                    }
                    let broken = broken.get_or_insert_with(|| Broken::of(text, range.clone(), reach));
                    if let Some(value) = broken.read(rule) {
                        found(Credential { kind: rule.kind, start: range.start, value });
                    }
                }
                Err(_) => {}
            }
        }
    });
}

/// Whether a line ends here, or a space stands.
fn breaks(text: &[u8], at: usize) -> bool {
    text.get(at).is_some_and(u8::is_ascii_whitespace)
        || text[at..].starts_with(b"=\n")
        || text[at..].starts_with(b"=\r\n")
}

/// How far a value that is broken behind an anchor may go: to the line or word in which the same anchor stands again, for
/// another value begins there. So a text full of one anchor is not put together anew from each of them.
fn reach_of(text: &[u8], range: &Range<usize>, anchor: &Anchor) -> usize {
    let most = text.len().min(range.end + BROKEN_BYTES_MAX);
    let behind = &text[range.end..most];
    let Some(gap) = behind.iter().position(u8::is_ascii_whitespace) else { return most };
    let Some(again) = anchor.place_in(&behind[gap..]) else { return most };
    let line = behind[..gap + again].iter().rposition(u8::is_ascii_whitespace);
    range.end + line.unwrap_or(gap) + 1
}

/// What stands at an anchor, without the white space in it, up to the first word of the text.
struct Broken {
    bytes: Vec<u8>,
    /// Offsets into `bytes` before which white space stood.
    gaps: Vec<usize>,
    anchor: Range<usize>,
}

impl Broken {
    fn of(text: &[u8], anchor: Range<usize>, reach: usize) -> Self {
        let lead = anchor.start.min(64);
        let from = anchor.start - lead;
        let mut bytes = Vec::with_capacity(lead + anchor.len() + BROKEN_BYTES_MAX);
        bytes.extend_from_slice(&text[from..anchor.end]);
        let mut gaps = Vec::with_capacity(BROKEN_BYTES_MAX / 4);
        let (mut piece, mut before) = (bytes.len(), 0);
        let behind = &text[anchor.end..reach];
        for (at, byte) in behind.iter().enumerate() {
            let soft = *byte == b'=' && breaks(behind, at);
            if !byte.is_ascii_whitespace() && !soft {
                bytes.push(*byte);
                continue;
            }
            if piece == bytes.len() {
                continue;
            }
            if gaps.last() == Some(&piece) && is_word(&bytes[piece..]) && bytes.len() - piece != before {
                bytes.truncate(piece);
                break;
            }
            before = bytes.len() - piece;
            piece = bytes.len();
            gaps.push(piece);
        }
        if gaps.last() == Some(&piece) && is_word(&bytes[piece..]) {
            bytes.truncate(piece);
        }
        Self { bytes, gaps, anchor: lead..lead + anchor.len() }
    }

    fn read(&self, rule: &Rule) -> Option<&[u8]> {
        let gap = |at: usize| self.gaps.binary_search(&at).is_ok();
        let Match { start, body, end } =
            rule.read(&mut Reading::of(&self.bytes), self.anchor.start, self.anchor.end, gap).ok()?;
        let broken = self.gaps.iter().any(|at| (start + 1..end).contains(at));
        (broken && has_digits(&self.bytes[body..end])).then(|| &self.bytes[start..end])
    }
}

/// Whether a piece of text looks like a word: letters, small ones but for the first, and a mark at its end.
fn is_word(piece: &[u8]) -> bool {
    let letters = piece.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let small = piece.iter().skip(1).take(letters.saturating_sub(1)).all(u8::is_ascii_lowercase);
    letters >= WORD_LEN_MIN && small && piece.len() - letters <= 1
}
