//! Takes keys off the front matter, notes every refusal, and in the end refuses the keys that nobody took.

use std::fmt;

use super::{
    field::{Fault, Rule},
    front_matter::{Entry, Value},
    scalar::Scalar,
};

/// Keys that a draft may carry without any effect on the action: the blueprint's and the node's own bookkeeping.
pub const IGNORED_KEYS: [&str; 14] = [
    "tags",
    "aliases",
    "type",
    "status",
    "created",
    "priority",
    "received",
    "source",
    "plan",
    "task",
    "reason",
    "message_id",
    "thread",
    "brain",
];

/// Refusals told of one note; a note with more is no draft that somebody almost got right.
const REFUSALS_MAX: usize = 100;

/// Why a draft cannot be approved, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Line of the note, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub fix: String,
}

impl Refusal {
    pub(super) fn new(line: usize, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { line, message: message.into(), fix: fix.into() }
    }

    pub(super) fn of(line: usize, fault: Fault) -> Self {
        Self { line, message: fault.message, fix: fault.fix }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}; {}", self.line, self.message, self.fix)
    }
}

/// How many values a list may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    pub(super) max: usize,
    /// Those that other keys hold already.
    pub(super) taken: usize,
    /// What is counted.
    pub(super) what: &'static str,
}

impl Bound {
    fn exceeded(&self) -> Fault {
        let Self { max, what, .. } = self;
        Fault::new(format!("more than {max} {what}"), format!("keep at most {max}; the rest needs another draft"))
    }
}

/// A value could not be had; its refusal is noted.
#[derive(Debug)]
pub(super) struct Refused;

pub(super) type Checked<T> = Result<T, Refused>;

#[derive(Debug)]
pub(super) struct Reader {
    entries: Vec<Entry>,
    refusals: Vec<Refusal>,
    /// Where a missing key is reported: the line of `action`.
    home_line: usize,
    /// Every key that was asked for, for the list in a fix.
    known: Vec<&'static str>,
}

impl Reader {
    pub(super) fn new(entries: Vec<Entry>, refusals: Vec<Refusal>) -> Self {
        let home_line = entries.iter().find(|entry| entry.key == "action").map_or(1, |entry| entry.line);
        Self { entries, refusals, home_line, known: Vec::new() }
    }

    pub(super) fn refuse(&mut self, line: usize, fault: Fault) -> Refused {
        self.refusals.push(Refusal::of(line, fault));
        Refused
    }

    /// Refuses something that is missing as a whole.
    pub(super) fn refuse_home(&mut self, fault: Fault) -> Refused {
        self.refuse(self.home_line, fault)
    }

    /// Applies `rule` to a value that stands in no key.
    pub(super) fn check(&mut self, line: usize, outcome: Result<(), Fault>) -> Checked<()> {
        outcome.map_err(|fault| self.refuse(line, fault))
    }

    /// Takes the scalar of the key with one of these names and turns it into a value.
    pub(super) fn scalar<T>(
        &mut self,
        names: &[&'static str],
        read: impl FnOnce(&Scalar) -> Result<T, Fault>,
    ) -> Checked<Option<T>> {
        let Some(Entry { line, key, value }) = self.take(names) else { return Ok(None) };
        match value {
            Value::Absent => Ok(None),
            Value::Refused => Err(Refused),
            Value::One(scalar) => read(&scalar).map(Some).map_err(|fault| self.refuse(line, about(&key, fault))),
            Value::Many(_) => {
                Err(self.refuse(line, Fault::new(format!("`{key}` is a list"), format!("give `{key}` one value"))))
            }
        }
    }

    /// Takes a text.
    pub(super) fn text(&mut self, names: &[&'static str], rule: Rule) -> Checked<Option<String>> {
        self.scalar(names, |scalar| {
            let text = scalar.as_text()?;
            rule(text).map(|()| text.to_owned())
        })
    }

    /// Takes a text that must be there.
    pub(super) fn required(&mut self, names: &[&'static str], rule: Rule) -> Checked<String> {
        let text = self.text(names, rule)?;
        self.present(names, text)
    }

    /// Takes a list of values, or one value as a list of one; missing is empty. Nothing of a list that is too long is
    /// read.
    pub(super) fn list<T>(
        &mut self,
        names: &[&'static str],
        bound: Bound,
        mut read: impl FnMut(&str) -> Result<T, Fault>,
    ) -> Checked<Vec<T>> {
        let Some(Entry { line, key, value }) = self.take(names) else { return Ok(Vec::new()) };
        let items = match value {
            Value::Absent => Vec::new(),
            Value::Refused => return Err(Refused),
            Value::One(scalar) => vec![(line, scalar)],
            Value::Many(items) => items,
        };
        if let Some((line, _)) = items.get(bound.max.saturating_sub(bound.taken)) {
            return Err(self.refuse(*line, about(&key, bound.exceeded())));
        }
        let mut values = Vec::with_capacity(items.len());
        let mut outcome = Ok(());
        for (line, item) in items {
            match item.as_text().and_then(&mut read) {
                Ok(value) => values.push(value),
                Err(fault) => outcome = Err(self.refuse(line, about(&key, fault))),
            }
        }
        outcome.map(|()| values)
    }

    /// Refuses a missing key.
    pub(super) fn present<T>(&mut self, names: &[&'static str], value: Option<T>) -> Checked<T> {
        let key = names.first().copied().unwrap_or_default();
        value.ok_or_else(|| {
            let fix = match key {
                "from" => "set `[mail] from` in the settings, or add a line `from: …`".to_owned(),
                key => format!("add a line `{key}: …`"),
            };
            self.refuse_home(Fault::new(format!("`{key}` is missing"), fix))
        })
    }

    /// Ends the reading with everything that was refused, in the order of lines; unknown keys too if `strict`.
    pub(super) fn finish(mut self, strict: bool) -> Vec<Refusal> {
        if strict {
            let keys = self.known.join(" ");
            for Entry { line, key, .. } in std::mem::take(&mut self.entries) {
                if !IGNORED_KEYS.contains(&key.as_str()) {
                    let fix = format!("remove it, or use one of: {keys}");
                    self.refusals.push(Refusal::new(line, format!("`{key}` is no key of this action"), fix));
                }
            }
        }
        self.refusals.sort_by_key(|refusal| refusal.line);
        self.refusals.truncate(REFUSALS_MAX);
        self.refusals
    }

    fn take(&mut self, names: &[&'static str]) -> Option<Entry> {
        self.known.extend_from_slice(names);
        let (mut found, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.entries).into_iter().partition(|entry| names.contains(&entry.key.as_str()));
        self.entries = rest;
        for second in found.drain(1.min(found.len())..) {
            let message = format!("`{}` says the same as a key above", second.key);
            self.refusals.push(Refusal::new(second.line, message, "keep one of them"));
        }
        found.pop()
    }
}

fn about(key: &str, fault: Fault) -> Fault {
    Fault { message: format!("`{key}`: {}", fault.message), ..fault }
}
