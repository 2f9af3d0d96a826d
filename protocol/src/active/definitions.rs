//! What labels stand for: `[label]: address`, where the address is elsewhere.

use std::collections::BTreeMap;

use super::links::{ALT_BYTES_MAX, address_behind, is_escaped, is_remote};

/// The addresses elsewhere that pictures may name by a label.
#[derive(Default)]
pub(super) struct Definitions {
    plain: BTreeMap<String, String>,
    /// Those of labels that viewers may take for more than one: escaped, long, or in letters that are folded.
    odd: Vec<String>,
}

pub(super) fn definitions(text: &str) -> Definitions {
    let mut found = Definitions::default();
    if !text.contains("]:") || !text.contains("![") {
        return found;
    }
    for (at, _) in text.match_indices("]:") {
        if is_escaped(text, at) {
            continue;
        }
        let before = &text[text.ceil_char_boundary(at.saturating_sub(ALT_BYTES_MAX))..at];
        let open = before.rfind('[').filter(|open| !before[..*open].ends_with('\\'));
        let label = open.map(|open| &before[open + 1..]);
        let Some((from, to)) = address_behind(text, at + 1).filter(|(from, to)| is_remote(&text[*from..*to])) else {
            continue;
        };
        let address = text[from..to].to_owned();
        match label {
            Some(label) if label.starts_with('^') => {}
            Some(label) if is_plain(label) => {
                found.plain.entry(tidy(label)).or_insert(address);
            }
            Some(_) | None => found.odd.push(address),
        }
    }
    found
}

impl Definitions {
    /// What a label may stand for, if any of it is elsewhere.
    pub(super) fn remote(&self, label: &str) -> Option<String> {
        let is_plain = is_plain(label);
        if let Some(address) = self.plain.get(&tidy(label)).filter(|_| is_plain) {
            return Some(address.clone());
        }
        let others = self.plain.values().filter(|_| !is_plain);
        let all: Vec<_> = self.odd.iter().chain(others).map(String::as_str).collect();
        (!all.is_empty()).then(|| all.join(" "))
    }
}

fn is_plain(label: &str) -> bool {
    label.is_ascii() && !label.contains(['\\', '&', '[', ']'])
}

fn tidy(label: &str) -> String {
    label.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}
