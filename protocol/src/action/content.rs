//! What an action can be: one struct for each kind.

use std::fmt;

use aiemp_keys::Hash;

use crate::ids::ContentHash;

/// What is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Send a mail.
    Email(Email),
    /// Publish on a network.
    Post(Post),
    /// Pay somebody.
    Payment(Payment),
    /// Call a tool of an MCP server.
    Tool(Tool),
    /// Call a declared HTTP connector.
    Http(Http),
    /// Send a message to an outside agent.
    A2a(A2a),
}

/// A mail. Addresses are `a@b.test` or `Name <a@b.test>`; message ids stand as given, with or without brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email {
    /// The hand that sends.
    pub hand: String,
    /// The sender's address.
    pub from: String,
    /// At least one recipient.
    pub to: Vec<String>,
    /// Recipients in copy.
    pub cc: Vec<String>,
    /// Recipients in blind copy.
    pub bcc: Vec<String>,
    /// One line.
    pub subject: String,
    /// Plain text, lines ended by `\n`.
    pub body: String,
    /// The message id that this answers.
    pub in_reply_to: Option<String>,
    /// The message ids of the thread, oldest first.
    pub references: Vec<String>,
    /// Files sent along.
    pub attachments: Vec<Attachment>,
}

/// A file sent along, named by its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The file name that the recipient sees.
    pub name: String,
    /// Its media type, `type/subtype`.
    pub media_type: String,
    /// Length in bytes.
    pub length: u64,
    /// The content address of its bytes.
    pub hash: ContentHash,
}

/// A publication on a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// The hand that publishes.
    pub hand: String,
    /// Where: `linkedin`, `x`.
    pub network: String,
    /// Plain text, lines ended by `\n`; empty only beside an attachment.
    pub text: String,
    /// Files published along.
    pub attachments: Vec<Attachment>,
}

/// A payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// The hand that pays.
    pub hand: String,
    /// Who is paid.
    pub payee: String,
    /// The payee's account: an IBAN or what the hand takes.
    pub account: String,
    /// Amount in the currency's smallest unit, above zero.
    pub amount_minor: u64,
    /// ISO 4217 code.
    pub currency: String,
    /// What the payee reads; may be empty.
    pub reference: String,
}

/// A call of an MCP tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// The configured server.
    pub server: String,
    /// The tool's name on it.
    pub tool: String,
    /// The exact JSON text of the arguments, an object.
    pub arguments: Vec<u8>,
    /// Digest of the tool's schema when the draft was made; another one at the call refuses it.
    pub schema: Option<Hash>,
}

/// A call of an HTTP connector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// The configured connector.
    pub connector: String,
    /// Name and value, sorted by name; no name twice.
    pub params: Vec<(String, String)>,
}

/// A message to an outside agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct A2a {
    /// The agent, by the name or URL of its card.
    pub agent: String,
    /// Fingerprint of the key that signs the agent's card.
    pub card_key: Hash,
    /// Plain text, lines ended by `\n`.
    pub message: String,
}

/// The sort of an action; with the work id it is what may be sent once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ActionKind {
    /// A mail.
    Email,
    /// A publication.
    Post,
    /// A payment.
    Payment,
    /// A tool call.
    Tool,
    /// An HTTP call.
    Http,
    /// A message to an agent.
    A2a,
}

impl ActionKind {
    /// Every kind, in wire order.
    pub const EACH: [Self; 6] = [Self::Email, Self::Post, Self::Payment, Self::Tool, Self::Http, Self::A2a];

    /// Its number on the wire.
    pub const fn code(self) -> u64 {
        match self {
            Self::Email => 0,
            Self::Post => 1,
            Self::Payment => 2,
            Self::Tool => 3,
            Self::Http => 4,
            Self::A2a => 5,
        }
    }

    /// The kind with this number.
    pub fn from_code(code: u64) -> Option<Self> {
        Self::EACH.into_iter().find(|kind| kind.code() == code)
    }

    /// Its name in listings and drafts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Post => "post",
            Self::Payment => "payment",
            Self::Tool => "tool",
            Self::Http => "http",
            Self::A2a => "a2a",
        }
    }
}

impl fmt::Display for ActionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Content {
    /// The sort of it.
    pub fn kind(&self) -> ActionKind {
        match self {
            Self::Email(_) => ActionKind::Email,
            Self::Post(_) => ActionKind::Post,
            Self::Payment(_) => ActionKind::Payment,
            Self::Tool(_) => ActionKind::Tool,
            Self::Http(_) => ActionKind::Http,
            Self::A2a(_) => ActionKind::A2a,
        }
    }

    /// The files sent along.
    pub fn attachments(&self) -> &[Attachment] {
        match self {
            Self::Email(email) => &email.attachments,
            Self::Post(post) => &post.attachments,
            Self::Payment(_) | Self::Tool(_) | Self::Http(_) | Self::A2a(_) => &[],
        }
    }

    pub(super) fn hand(&self) -> &str {
        match self {
            Self::Email(email) => &email.hand,
            Self::Post(post) => &post.hand,
            Self::Payment(payment) => &payment.hand,
            Self::Tool(tool) => &tool.server,
            Self::Http(http) => &http.connector,
            Self::A2a(a2a) => &a2a.agent,
        }
    }
}

impl Email {
    /// All who get it: to, cc, then bcc.
    pub fn recipients(&self) -> Vec<&str> {
        [&self.to, &self.cc, &self.bcc].into_iter().flatten().map(String::as_str).collect()
    }
}
