//! Who wrote which words of what is shown.

use std::{collections::BTreeMap, ops::Range};

use aiemp_protocol::action::{Action, Content, Rendered};

/// A run of the rendered text, and the member who wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Bytes of the rendered text.
    pub at: Range<usize>,
    /// The member's name.
    pub by: String,
}

/// Who wrote a draft, as far as the node tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authors {
    /// The words of its text, in their order.
    pub words: Vec<Word>,
    /// The keys of its front matter, by who wrote them last.
    pub keys: BTreeMap<String, Vec<String>>,
}

impl Authors {
    /// Lays the runs of a note over what is shown of it. Where they do not fit the note, nobody is named.
    pub(super) fn of(note: &[u8], runs: &[(usize, Option<String>)], action: &Action, rendered: &Rendered) -> Self {
        if runs.iter().map(|(bytes, _)| bytes).sum::<usize>() != note.len() {
            return Self::default();
        }
        let writers = runs.iter().flat_map(|(bytes, by)| std::iter::repeat_n(by.as_deref(), *bytes));
        let (bytes, writers) = with_line_feeds(note.iter().copied().zip(writers));
        let keys = keys_of(&bytes, &writers);
        let text = text_of(&action.content);
        let Some(from) = last_position(&bytes, text) else { return Self { words: Vec::new(), keys } };
        let mut words: Vec<Word> = Vec::new();
        for shown in &rendered.words {
            let writers = &writers[from + shown.of.start..from + shown.of.end];
            let is_plain = shown.of.len() == shown.at.len();
            let mut at = shown.at.start;
            for run in writers.chunk_by(|one, next| one == next) {
                let end = if is_plain { at + run.len() } else { shown.at.end };
                if let Some(by) = run[0] {
                    words.push(Word { at: at..end, by: by.to_owned() });
                }
                at = end;
            }
        }
        Self { words, keys }
    }

    /// How many bytes of what is shown each member wrote.
    pub fn shares(&self) -> BTreeMap<&str, usize> {
        let mut shares = BTreeMap::new();
        for word in &self.words {
            *shares.entry(word.by.as_str()).or_default() += word.at.len();
        }
        shares
    }
}

/// Without the carriage returns before line feeds, as drafts are read.
fn with_line_feeds<'a>(bytes: impl Iterator<Item = (u8, Option<&'a str>)>) -> (Vec<u8>, Vec<Option<&'a str>>) {
    let mut bytes = bytes.peekable();
    let (mut kept, mut writers) = (Vec::new(), Vec::new());
    while let Some((byte, by)) = bytes.next() {
        if byte != b'\r' || bytes.peek().is_none_or(|(next, _)| *next != b'\n') {
            kept.push(byte);
            writers.push(by);
        }
    }
    (kept, writers)
}

/// The keys of the front matter, each with who wrote its line.
fn keys_of(bytes: &[u8], writers: &[Option<&str>]) -> BTreeMap<String, Vec<String>> {
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut at = 0;
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let text = String::from_utf8_lossy(line);
        if number > 0 && text == "---" {
            break;
        }
        let by = writers.get(at).copied().flatten();
        if let (Some((key, _)), Some(by)) = (text.split_once(':'), by)
            && !key.is_empty()
            && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        {
            keys.entry(by.to_owned()).or_default().push(key.to_owned());
        }
        at += line.len() + 1;
    }
    keys
}

/// The text that the renderer shows as a block.
fn text_of(content: &Content) -> &[u8] {
    match content {
        Content::Email(email) => email.body.as_bytes(),
        Content::Post(post) => post.text.as_bytes(),
        Content::Tool(tool) => &tool.arguments,
        Content::A2a(a2a) => a2a.message.as_bytes(),
        Content::Payment(_) | Content::Http(_) => &[],
    }
}

fn last_position(bytes: &[u8], text: &[u8]) -> Option<usize> {
    let last = bytes.len().checked_sub(text.len())?;
    (0..=last).rev().find(|at| bytes[*at..].starts_with(text))
}

#[cfg(test)]
mod tests {
    use aiemp_keys::Hash;
    use aiemp_protocol::{
        action::{self, DeriveContext, Marks},
        ids::{FileId, WorkId},
        zone::Zone,
    };

    use super::*;

    fn read(note: &[u8]) -> (Action, Rendered) {
        let file = FileId { zone: Zone::Drafts, hash: Hash::of_content(b"file") };
        let context = DeriveContext {
            file,
            fallback_work: WorkId(file.hash),
            default_hand: "outbox",
            default_from: Some("me@mine.test"),
            attachment: &|_| None,
        };
        let draft = action::derive(note, &context).expect("a draft");
        let rendered = action::render(&draft.action, &Marks::default());
        (draft.action, rendered)
    }

    fn run(bytes: usize, by: &str) -> (usize, Option<String>) {
        (bytes, (by != "-").then(|| by.to_owned()))
    }

    #[test]
    fn each_word_and_key_is_laid_to_the_one_who_wrote_it() {
        for line_end in ["\n", "\r\n"] {
            let parts = [
                ("-", "---\n"),
                ("cloud", "action: email\nto: a@client.test\n"),
                ("local", "subject: Hello\n"),
                ("-", "---"),
                ("cloud", "\n\nPay \u{202e}"),
                ("local", "never"),
                ("cloud", " to \u{fc}ber\n"),
            ];
            let parts = parts.map(|(by, text)| (by, text.replace('\n', line_end)));
            let note = parts.iter().map(|(_, text)| text.as_str()).collect::<String>();
            let runs: Vec<_> = parts.iter().map(|(by, text)| run(text.len(), by)).collect();
            let (action, rendered) = read(note.as_bytes());
            let authors = Authors::of(note.as_bytes(), &runs, &action, &rendered);
            let shown: Vec<_> =
                authors.words.iter().map(|word| (word.by.as_str(), &rendered.text[word.at.clone()])).collect();
            let expected = [
                ("cloud", "Pay "),
                ("cloud", "[U+202E RIGHT-TO-LEFT OVERRIDE]"),
                ("local", "never"),
                ("cloud", " to \u{fc}ber"),
            ];
            assert_eq!(shown, expected);
            assert_eq!(authors.keys["cloud"], ["action", "to"]);
            assert_eq!(authors.keys["local"], ["subject"]);
            assert_eq!(authors.shares()["local"], 5);
        }
    }

    #[test]
    fn runs_that_do_not_fit_name_nobody() {
        let note = b"---\naction: email\nto: a@client.test\nsubject: x\n---\nHello\n";
        let (action, rendered) = read(note);
        assert_eq!(Authors::of(note, &[run(3, "cloud")], &action, &rendered), Authors::default());
    }
}
