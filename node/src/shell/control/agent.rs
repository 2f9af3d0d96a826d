//! What agents ask over the socket, and what they are told: [`crate::core::agent`] in words.

use aiemp_keys::NodeId;
use aiemp_protocol::{
    action::{EmailProposal, Proposal},
    time::Timestamp,
    vault_path::VaultPath,
};
use serde::{Deserialize, Serialize};

use crate::core::agent::{Ask, Ceiling, DraftAsked, Session, Told};

/// One session of an agent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WireSession {
    /// Whether it sees private notes, and so writes private notes alone.
    pub is_private: bool,
    /// The one piece of work that it is for.
    pub work: Option<String>,
}

/// What an agent asks.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum WireAsk {
    /// The open tasks.
    Tasks,
    /// The notes in a folder and below.
    Notes {
        /// The folder; an empty one is the whole vault.
        folder: String,
    },
    /// What a note says.
    Note {
        /// Its path.
        path: String,
    },
    /// Take a task.
    Claim {
        /// Its path.
        path: String,
    },
    /// Write the plan of a task.
    Plan {
        /// The task.
        work: String,
        /// Markdown.
        text: String,
        /// Digest of what the plan says now, if there is one.
        replaces: Option<String>,
    },
    /// Write a note.
    Write {
        /// Its path.
        path: String,
        /// Markdown.
        text: String,
        /// Digest of what it says now, if it exists.
        replaces: Option<String>,
    },
    /// Leave a draft.
    Draft {
        /// The task that it is for.
        work: Option<String>,
        /// What is proposed.
        proposal: WireProposal,
        /// The text.
        body: String,
        /// When it stops being approvable, RFC 3339.
        expires: Option<String>,
    },
    /// A task needs nothing to be sent.
    Finish {
        /// The task.
        work: String,
        /// What was done.
        text: String,
    },
}

/// What a draft proposes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(missing_docs, reason = "as aiemp_protocol::action::Proposal has them")]
pub enum WireProposal {
    /// A mail.
    Email { to: Vec<String>, cc: Vec<String>, bcc: Vec<String>, subject: String, attachments: Vec<String> },
    /// A post.
    Post { network: String, attachments: Vec<String> },
    /// A payment.
    Payment { payee: String, account: String, amount: String, currency: String, reference: Option<String> },
    /// A call of a tool.
    Tool { server: String, tool: String },
    /// A call of a declared hand.
    Http { connector: String, params: Vec<String> },
}

/// What an agent is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "told", rename_all = "snake_case")]
pub enum WireTold {
    /// To `tasks`, by path.
    Tasks {
        /// The tasks.
        tasks: Vec<WireTask>,
    },
    /// To `notes`.
    Notes {
        /// Their paths.
        paths: Vec<String>,
    },
    /// To `note`.
    Note {
        /// Its text.
        text: String,
        /// Its digest.
        digest: String,
    },
    /// It is done.
    Done {
        /// The work that it is for.
        work: Option<String>,
        /// Where the result lies.
        path: String,
    },
    /// It is not done.
    Refused {
        /// Why, and what to do instead.
        why: String,
    },
}

/// An open task.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WireTask {
    /// The note.
    pub path: String,
    /// Name of the node that has it in hand.
    pub holder: Option<String>,
    /// The work, once somebody had it in hand.
    pub work: Option<String>,
    /// The draft that waits for a person.
    pub draft: Option<String>,
}

/// The session as the core knows it.
pub fn session(wire: &WireSession) -> Result<Session, String> {
    let ceiling = if wire.is_private { Ceiling::Private } else { Ceiling::Shared };
    Ok(Session { ceiling, work: wire.work.as_deref().map(id).transpose()? })
}

/// The question as the core knows it; the error says what is wrong with it.
pub fn ask(wire: WireAsk) -> Result<Ask, String> {
    Ok(match wire {
        WireAsk::Tasks => Ask::Tasks,
        WireAsk::Notes { folder } => {
            let folder = folder.trim_end_matches('/');
            Ask::Notes(if folder.is_empty() { None } else { Some(path(folder)?) })
        }
        WireAsk::Note { path: at } => Ask::Note(path(&at)?),
        WireAsk::Claim { path: at } => Ask::Claim(path(&at)?),
        WireAsk::Plan { work, text, replaces } => {
            Ask::Plan { work: id(&work)?, text, replaces: replaces.as_deref().map(id).transpose()? }
        }
        WireAsk::Write { path: at, text, replaces } => {
            Ask::Write { path: path(&at)?, text, replaces: replaces.as_deref().map(id).transpose()? }
        }
        WireAsk::Draft { work, proposal, body, expires } => Ask::Draft(Box::new(DraftAsked {
            work: work.as_deref().map(id).transpose()?,
            proposal: proposed(proposal),
            body,
            expires: expires.map(|text| time(&text)).transpose()?,
        })),
        WireAsk::Finish { work, text } => Ask::Finish { work: id(&work)?, text },
    })
}

fn proposed(wire: WireProposal) -> Proposal {
    match wire {
        WireProposal::Email { to, cc, bcc, subject, attachments } => {
            Proposal::Email(EmailProposal { to, cc, bcc, subject, attachments, ..EmailProposal::default() })
        }
        WireProposal::Post { network, attachments } => Proposal::Post { network, attachments },
        WireProposal::Payment { payee, account, amount, currency, reference } => {
            Proposal::Payment { payee, account, amount, currency, reference }
        }
        WireProposal::Tool { server, tool } => Proposal::Tool { server, tool },
        WireProposal::Http { connector, params } => Proposal::Http { connector, params },
    }
}

/// What the core told, with the names of members.
pub fn told(told: Told, name_of: impl Fn(NodeId) -> String) -> WireTold {
    match told {
        Told::Tasks(tasks) => WireTold::Tasks {
            tasks: tasks
                .into_iter()
                .map(|task| WireTask {
                    path: task.path.to_string(),
                    holder: task.holder.map(&name_of),
                    work: task.work.map(|work| work.to_string()),
                    draft: task.draft.map(|path| path.to_string()),
                })
                .collect(),
        },
        Told::Notes(paths) => WireTold::Notes { paths: paths.iter().map(ToString::to_string).collect() },
        Told::Note { text, digest } => WireTold::Note { text, digest: digest.to_string() },
        Told::Done { work, path } => WireTold::Done { work: work.map(|work| work.to_string()), path: path.to_string() },
        Told::Refused(why) => WireTold::Refused { why },
    }
}

fn path(text: &str) -> Result<VaultPath, String> {
    VaultPath::parse(text).map_err(|error| format!("`{text}`: {error}"))
}

fn id<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is not 64 hex digits, as this server tells them"))
}

fn time(text: &str) -> Result<Timestamp, String> {
    let told = || format!("`{text}` is not a time such as 2026-01-07T10:30:00Z");
    Timestamp::parse_rfc3339(text).ok_or_else(told)
}
