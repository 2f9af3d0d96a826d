//! The words of a draft in the colours of those who wrote them.

use std::fmt::Write as _;

use aiemp_protocol::action::spelt;

use crate::reviewer::{Authors, Readable};

/// Yellow, cyan, magenta, green; more writers than that share the last one.
const COLOURS: [(&str, &str); 4] = [("33", "yellow"), ("36", "cyan"), ("35", "magenta"), ("32", "green")];

/// The rendered text. What this node wrote, or nobody, is not coloured.
pub(super) fn painted(readable: &Readable, own: &str) -> String {
    let text = &readable.rendered.text;
    let others = others(&readable.authors, own);
    let mut painted = String::with_capacity(text.len() * 2);
    let mut at = 0;
    for word in &readable.authors.words {
        let Some(place) = others.iter().position(|other| *other == word.by) else { continue };
        let (code, _) = COLOURS[place.min(COLOURS.len() - 1)];
        painted.push_str(&text[at..word.at.start]);
        let _written = write!(painted, "\x1b[{code}m{}\x1b[0m", &text[word.at.clone()]);
        at = word.at.end;
    }
    painted.push_str(&text[at..]);
    painted
}

/// Who wrote what, in a line for the words and one for the front matter.
pub(super) fn legend(authors: &Authors, own: &str, with_colours: bool) -> String {
    let others = others(authors, own);
    let colour_of = |by: &str| {
        let place = others.iter().position(|other| *other == by).filter(|_| with_colours)?;
        Some(COLOURS[place.min(COLOURS.len() - 1)].1)
    };
    let shares = authors.shares();
    let all: usize = shares.values().sum();
    let share = |(by, bytes): (&&str, &usize)| {
        let colour = colour_of(by).map(|colour| format!(" ({colour})")).unwrap_or_default();
        format!("{}{colour} {} %", spelt(by), (bytes * 100).div_ceil(all.max(1)))
    };
    let mut lines = Vec::new();
    if !shares.is_empty() {
        lines.push(format!("words by: {}", shares.iter().map(share).collect::<Vec<_>>().join(", ")));
    }
    for (by, keys) in &authors.keys {
        lines.push(format!("lines by {}: {}", spelt(by), keys.join(", ")));
    }
    lines.join("\n")
}

fn others<'a>(authors: &'a Authors, own: &str) -> Vec<&'a str> {
    authors.shares().into_keys().filter(|by| *by != own).collect()
}

#[cfg(test)]
mod tests {
    use aiemp_keys::Hash;
    use aiemp_protocol::{
        action::{A2a, Action, Content, Marks, render},
        ids::WorkId,
    };

    use super::*;
    use crate::reviewer::Word;

    #[test]
    fn words_of_others_are_coloured_and_told() {
        let hash = Hash::of_content(b"any");
        let content = Content::A2a(A2a { agent: "books".to_owned(), card_key: hash, message: "Pay now".to_owned() });
        let action = Action { file: hash, work: WorkId(hash), content };
        let rendered = render(&action, &Marks::default());
        let at = rendered.text.find("Pay now").expect("it is shown");
        let words =
            vec![Word { at: at..at + 4, by: "cloud".to_owned() }, Word { at: at + 4..at + 7, by: "local".to_owned() }];
        let keys = [("cloud".to_owned(), vec!["to".to_owned(), "subject".to_owned()])].into();
        let authors = Authors { words, keys };
        let readable = Readable { action, expires: None, marks: Marks::default(), rendered, authors, objection: None };
        assert!(painted(&readable, "local").contains("\x1b[33mPay \x1b[0mnow\n"));
        assert!(painted(&readable, "cloud").contains("Pay \x1b[33mnow\x1b[0m\n"));
        let expected = "words by: cloud (yellow) 58 %, local 43 %\nlines by cloud: to, subject";
        assert_eq!(legend(&readable.authors, "local", true), expected);
        assert_eq!(legend(&readable.authors, "local", false), expected.replace(" (yellow)", ""));
    }
}
