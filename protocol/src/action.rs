//! Actions: the complete content of what will be done, as bytes that a person approves by their hash.
//!
//! An action is derived from a draft note ([`derive()`]), shown to a person by the versioned renderer ([`render()`])
//! and never read from the note again. `docs/draft-format.md` is the contract of the note.

mod codec;
mod content;
mod derive;
mod draft_note;
mod field;
mod front_matter;
mod json;
mod links;
mod marked;
mod money;
mod reader;
mod render;
mod scalar;
mod spell;
mod unicode;

use std::fmt;

use aiemp_keys::{
    Hash,
    cbor::{self, CborError},
};
use thiserror::Error;

use crate::ids::{ActionHash, FileId, WorkId};

pub use content::{A2a, ActionKind, Attachment, Content, Email, Http, Payment, Post, Tool};
pub use derive::{AttachmentInfo, DeriveContext, Draft, NOT_A_DRAFT, derive};
pub use draft_note::{DraftFields, EmailProposal, Proposal, write_draft};
pub use field::{address_of, is_address, is_bare_address};
pub use marked::{MarkedValue, ValueKind};
pub use money::{format as amount, is_currency};
pub use reader::{IGNORED_KEYS, Refusal};
pub use render::{AttachmentSource, Marks, NoteSource, RENDERER_VERSION, Rendered, Shown, render};

/// How long a line of a list may be.
const SUMMARY_CHARS_MAX: usize = 160;
const ACTION_LABEL: &str = "aiemp-node 2026 action";
const ACTION_ID_LABEL: &str = "aiemp-node 2026 action id";

/// One thing to do, complete: nothing outside these fields decides what is sent.
///
/// Wire form: the array `[1, file, work, kind, content]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// [`action_id`] of the file that the draft stands in.
    pub file: Hash,
    /// The piece of work that it completes.
    pub work: WorkId,
    /// What is done.
    pub content: Content,
}

/// Why bytes are no action that anybody may be asked to approve.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ActionError {
    /// Not the canonical encoding of the shape.
    #[error(transparent)]
    Shape(#[from] CborError),
    /// Written by a newer version of this program.
    #[error("action format {found} is newer than this program; update it")]
    Version {
        /// The version found.
        found: u64,
    },
    /// The shape is right, but a value could not have come from a draft.
    #[error("action field `{field}`: {problem}")]
    Value {
        /// The field, as the draft format names it.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

/// Reads a plain decimal, `1500.00`, as an amount of the currency's smallest unit; the error says what to write.
pub fn parse_amount(text: &str, currency: &str) -> Result<u64, String> {
    money::parse(text, currency).map_err(|fault| format!("{}; {}", fault.message, fault.fix))
}

/// `H(file id)`: names the draft in its action without telling the zone it lies in.
pub fn action_id(file: FileId) -> Hash {
    Hash::labelled(ACTION_ID_LABEL, [file.to_value()])
}

impl Action {
    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads canonical bytes and checks every value against the rules that a draft must keep.
    ///
    /// So an address or subject that came out of here cannot carry a line break into a header.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ActionError> {
        codec::decode(bytes)
    }

    /// The digest that a person approves.
    pub fn hash(&self) -> ActionHash {
        ActionHash(Hash::labelled(ACTION_LABEL, [cbor::bytes(&self.to_bytes())]))
    }

    /// What sort of thing is done.
    pub fn kind(&self) -> ActionKind {
        self.content.kind()
    }

    /// The configured way out that carries it: a hand, MCP server, connector or agent.
    pub fn hand(&self) -> &str {
        self.content.hand()
    }

    /// One line for lists, of at most 160 characters, with control and invisible characters spelt out.
    pub fn summary(&self) -> String {
        let line = match &self.content {
            Content::Email(email) => format!("email to {}: {}", email.recipients().join(", "), email.subject),
            Content::Post(post) => format!("post to {}: {}", post.network, first_line(&post.text)),
            Content::Payment(payment) => {
                let amount = money::format(payment.amount_minor, &payment.currency);
                format!("payment of {amount} to {} ({})", payment.payee, payment.account)
            }
            Content::Tool(tool) => format!("tool {} of {}", tool.tool, tool.server),
            Content::Http(http) => format!("http call by {}", http.connector),
            Content::A2a(a2a) => format!("message to agent {}: {}", a2a.agent, first_line(&a2a.message)),
        };
        let line = spell::line(&line);
        let end = line.char_indices().nth(SUMMARY_CHARS_MAX);
        end.map_or_else(|| line.clone(), |(end, _)| format!("{}…", &line[..end]))
    }
}

/// A name, path or message for one line of a terminal: what is hidden, steers others or passes for another character is
/// spelt out, as in what is shown of an action.
pub fn spelt(text: impl fmt::Display) -> String {
    spell::indented_pieces(&text.to_string()).concat()
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod fixtures;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault_path::VaultPath;

    #[test]
    fn the_hash_covers_every_byte() {
        let action = fixtures::invoice_mail();
        assert_eq!(action.hash().to_string(), "44533905f4e682e5a295899175dc9bdaf620294a1b4a176ff119bf9400093c3d");
        let mut moved = action.clone();
        moved.file = Hash::of_content(b"another file");
        assert_ne!(action.hash(), moved.hash());
    }

    #[test]
    fn a_path_for_the_terminal_hides_nothing() {
        let path =
            VaultPath::parse("Inbox/\u{202e}fdp.exe\u{200b}").expect("bidi characters are no control characters");
        assert_eq!(spelt(&path), "Inbox/[U+202E RIGHT-TO-LEFT OVERRIDE]fdp.exe[U+200B ZERO WIDTH SPACE]");
        assert_eq!(spelt("Rechnungen/März 2026 (neu).pdf"), "Rechnungen/März 2026 (neu).pdf");
    }

    #[test]
    fn a_summary_is_one_line() {
        let mut action = fixtures::invoice_mail();
        let Content::Email(email) = &mut action.content else { panic!("an email") };
        email.subject = "hi\nBcc: x@y.test\u{202e}".to_owned();
        assert_eq!(
            action.summary(),
            "email to a@client.test, book@client.test: \
             hi[U+000A LINE FEED]Bcc: x@y.test[U+202E RIGHT-TO-LEFT OVERRIDE]"
        );
        let Content::Email(email) = &mut action.content else { panic!("an email") };
        email.subject = "ä".repeat(900);
        let summary = action.summary();
        assert_eq!(summary.chars().count(), SUMMARY_CHARS_MAX + 1);
        assert!(summary.starts_with("email to a@client.test, book@client.test: ää") && summary.ends_with("ä…"));
    }
}
