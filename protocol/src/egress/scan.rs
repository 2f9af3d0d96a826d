//! One look at a text in all its views, for known secrets and for credentials.

use std::collections::{BTreeMap, BTreeSet};

use aiemp_keys::{Fingerprints, Hash};

use super::{HitKind, phrase, rules, views};

/// Hits kept of one text, each a kind and a line: above any real note's. Known secrets and
/// canaries are kept whatever their number.
const HITS_MAX: usize = 1024;

/// Values kept of one hit.
const MARKS_MAX: usize = 64;

/// A decoded part is searched for credentials only if so many printable bytes stand in a row.
const PRINTABLE_MIN: usize = 16;

/// What was found in one text.
pub(super) struct Findings {
    /// The marks of the values, by line from 1 and kind.
    pub(super) hits: BTreeMap<(usize, HitKind), BTreeSet<Hash>>,
    /// Whether more was found than is kept.
    pub(super) overflown: bool,
}

/// A search through one text and its views.
struct Scan<'a> {
    fingerprints: &'a Fingerprints,
    mark: &'a dyn Fn(&[u8]) -> Hash,
    findings: Findings,
    /// Ends of the lines of the text that is looked at; made at the first hit.
    line_ends: Vec<usize>,
}

/// Looks at a text as it is and in all its views.
pub(super) fn scan(text: &[u8], fingerprints: &Fingerprints, mark: &dyn Fn(&[u8]) -> Hash) -> Findings {
    let findings = Findings { hits: BTreeMap::new(), overflown: false };
    let mut scan = Scan { fingerprints, mark, findings, line_ends: Vec::new() };
    scan.text(text);
    for respelt in views::respelt(text).into_iter().flatten() {
        scan.line_ends.clear();
        scan.text(&respelt);
    }
    scan.findings
}

impl Scan<'_> {
    /// Looks at a text, at it without white space, and at what is encoded in it.
    fn text(&mut self, text: &[u8]) {
        self.known(text, |_, at| at, text);
        rules::search(text, |credential| self.credential(text, credential.start, credential.kind, credential.value));
        phrase::phrases(text, |at, words| self.credential(text, at, "recovery-phrase", words));
        if self.fingerprints.names().next().is_some() {
            let folded = views::Folded::of(text);
            self.known(&folded.bytes, |text, at| folded.origin(text, at), text);
        }
        views::pieces(text, |piece| self.piece(text, piece));
    }

    /// Looks at something decoded, and at it without zero bytes if it is UTF-16.
    fn piece(&mut self, text: &[u8], piece: views::Piece<'_>) {
        self.decoded(text, piece.at, piece.bytes);
        let zeros = piece.bytes.iter().filter(|byte| **byte == 0).count();
        if zeros * 4 >= piece.bytes.len() {
            let plain: Vec<u8> = piece.bytes.iter().copied().filter(|byte| *byte != 0).collect();
            self.decoded(text, piece.at, &plain);
        }
    }

    fn decoded(&mut self, text: &[u8], at: usize, bytes: &[u8]) {
        self.known(bytes, |_, _| at, text);
        let printable = |byte: u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
        let mut readable = false;
        views::runs(bytes, printable, b'\t', PRINTABLE_MIN, |_, _| readable = true);
        if readable {
            rules::search(bytes, |credential| self.credential(text, at, credential.kind, credential.value));
        }
    }

    /// Looks for known secrets in a view; `origin` says where one of its bytes comes from in `text`.
    fn known(&mut self, view: &[u8], origin: impl Fn(&[u8], usize) -> usize, text: &[u8]) {
        let fingerprints = self.fingerprints;
        for found in fingerprints.scan(view) {
            let name = found.name.to_owned();
            let kind = if found.canary { HitKind::Canary { name } } else { HitKind::KnownSecret { name } };
            self.hit(text, origin(text, found.start), kind, &view[found.start..found.start + found.length]);
        }
    }

    fn credential(&mut self, text: &[u8], at: usize, kind: &'static str, value: &[u8]) {
        self.hit(text, at, HitKind::Credential { kind }, value);
    }

    fn hit(&mut self, text: &[u8], at: usize, kind: HitKind, value: &[u8]) {
        if self.line_ends.is_empty() {
            let ends = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
            self.line_ends = ends.chain([text.len()]).collect();
        }
        let line = 1 + self.line_ends.partition_point(|end| *end < at);
        let mark = (self.mark)(value);
        let hits = &mut self.findings.hits;
        let key = (line, kind);
        if let Some(marks) = hits.get_mut(&key) {
            self.findings.overflown |= marks.len() >= MARKS_MAX;
            if marks.len() < MARKS_MAX {
                marks.insert(mark);
            }
        } else if hits.len() < HITS_MAX || !matches!(key.1, HitKind::Credential { .. }) {
            hits.insert(key, BTreeSet::from([mark]));
        } else {
            self.findings.overflown = true;
        }
    }
}
