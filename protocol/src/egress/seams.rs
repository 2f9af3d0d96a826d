//! Anchors that a line end breaks: the last bytes of a line and the first of the next are one of them.

use std::{collections::BTreeMap, ops::Range, sync::LazyLock};

use super::{rule::Rule, rules};

/// Every anchor of a provider's own, cut at each of its places, by the bytes beside the cut.
static SEAMS: LazyLock<Seams> = LazyLock::new(Seams::of_rules);

/// Bytes before an anchor that say whether it stands in the middle of a word.
const LEAD: usize = 64;

struct Seams {
    /// A bit for each pair of bytes: the last of a line and the first of the next.
    pairs: Box<[u64; 1024]>,
    cuts: BTreeMap<(u8, u8), Vec<Cut>>,
}

struct Cut {
    anchor: &'static [u8],
    at: usize,
    rules: Vec<&'static Rule>,
}

impl Seams {
    fn of_rules() -> Self {
        let mut anchors: BTreeMap<&'static [u8], Vec<&'static Rule>> = BTreeMap::new();
        for rule in rules::every().filter(|rule| !rule.context) {
            for anchor in rule.anchors {
                anchors.entry(anchor.as_bytes()).or_default().push(rule);
            }
        }
        let mut seams = Self { pairs: Box::new([0; 1024]), cuts: BTreeMap::new() };
        for (anchor, rules) in anchors {
            let is_solid = |at: &usize| !anchor[at - 1].is_ascii_whitespace() && !anchor[*at].is_ascii_whitespace();
            for at in (1..anchor.len()).filter(is_solid) {
                let pair = (anchor[at - 1], anchor[at]);
                let bit = bit_of(pair);
                seams.pairs[bit / 64] |= 1 << (bit % 64);
                seams.cuts.entry(pair).or_default().push(Cut { anchor, at, rules: rules.clone() });
            }
        }
        seams
    }

    fn may_be(&self, pair: (u8, u8)) -> bool {
        let bit = bit_of(pair);
        self.pairs[bit / 64] >> (bit % 64) & 1 == 1
    }
}

const fn bit_of((before, after): (u8, u8)) -> usize {
    (before as usize) << 8 | after as usize
}

/// An anchor across a line end, in a text in which that line end is left out.
pub(super) struct Seam<'a> {
    /// Where the anchor begins in the whole text.
    pub(super) start: usize,
    /// The text around it, without the line end.
    pub(super) joined: &'a [u8],
    /// Where the anchor stands in that.
    pub(super) anchor: Range<usize>,
    pub(super) rules: &'a [&'static Rule],
}

/// Calls `found` with each anchor that a line end breaks, and with `behind` bytes of the text that follows it.
pub(super) fn each(text: &[u8], behind: usize, mut found: impl FnMut(Seam<'_>)) {
    let seams = &*SEAMS;
    let mut joined = Vec::new();
    let mut from = 0;
    while let Some(line_end) = memchr::memchr(b'\n', &text[from..]).map(|at| from + at) {
        from = line_end + 1;
        let before = without_line_end(text, line_end);
        let Some(indent) = text[from..].iter().position(|byte| !byte.is_ascii_whitespace()) else { return };
        let after = from + indent;
        let Some(last) = before.checked_sub(1).map(|last| text[last]) else { continue };
        if !seams.may_be((last, text[after])) {
            continue;
        }
        for cut in seams.cuts.get(&(last, text[after])).into_iter().flatten() {
            let (head, tail) = cut.anchor.split_at(cut.at);
            if !text[..before].ends_with(head) || !text[after..].starts_with(tail) {
                continue;
            }
            let start = before - head.len();
            let lead = start.min(LEAD);
            joined.clear();
            joined.extend_from_slice(&text[start - lead..before]);
            joined.extend_from_slice(&text[after..text.len().min(after + tail.len() + behind)]);
            found(Seam { start, joined: &joined, anchor: lead..lead + cut.anchor.len(), rules: &cut.rules });
        }
    }
}

/// Where a line ends before its line end, the sign of quoted-printable and spaces.
fn without_line_end(text: &[u8], line_end: usize) -> usize {
    let line = text[..line_end].strip_suffix(b"\r").unwrap_or(&text[..line_end]);
    let line = line.strip_suffix(b"=").unwrap_or(line);
    let spaces = line.iter().rev().take(8).take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    line.len() - spaces
}
