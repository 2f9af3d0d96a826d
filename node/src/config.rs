//! `<home>/config.toml`: every key, its default, and what is refused.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use aiemp_keys::{Hash, cbor};
use aiemp_protocol::replication::Room;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::{
    mail_in::{Imap, Lmtp, MailIn},
    oauth2::Oauth2,
    schedule::Schedule,
    senses::{DropFolder, Hook, HookForm, Watcher, Webhooks},
};
use crate::{
    core::{Bank, Limits},
    executor::{secrets::is_name, smtp::Security},
};

mod mail_in;
mod oauth2;
mod schedule;
mod senses;

const SMTP_LABEL: &str = "aiemp-node 2026 hand smtp";

/// The settings of one node. An unknown key refuses the start, for a misspelt one would be a setting not made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The vault: an absolute path outside the home.
    pub vault: PathBuf,
    /// Multiaddresses to listen on. None by default; `init --role cloud` writes all interfaces,
    /// tcp/4001.
    pub listen: Vec<String>,
    /// `HOST` or `HOST:PORT` under which others reach this node; goes into tickets.
    pub announce: Vec<String>,
    /// How much of this disk the other members may fill.
    pub admission: Admission,
    /// What drafts.
    pub brain: Brain,
    /// On Cloud: where mails come in.
    pub mail_in: MailIn,
    /// Folders whose files become tasks.
    pub drop: Vec<DropFolder>,
    /// On Cloud: where programs of others post messages.
    pub webhooks: Option<Webhooks>,
    /// Programs that tell what they see.
    pub watcher: Vec<Watcher>,
    /// On Local: how banks write the statements that are dropped.
    pub bank: Vec<Bank>,
    /// What is done at its times.
    pub schedule: Schedule,
    /// How mails leave, and in whose name.
    pub mail: Mail,
    /// The hand that writes mails as files.
    pub outbox: Outbox,
    /// The hand that sends mails.
    pub smtp: Option<Smtp>,
}

/// How much of this disk the other members may fill, beside the daily amounts of the roster. What exceeds it waits.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admission {
    /// Files that one member may have here, archived ones not counted.
    pub files_per_member: u64,
    /// Megabytes that one member may fill in all.
    pub megabytes_per_member: u64,
    /// Megabytes of the disk below the home that peers leave free.
    pub disk_floor_megabytes: u64,
}

impl Default for Admission {
    fn default() -> Self {
        let room = Room::default();
        Self { files_per_member: room.files, megabytes_per_member: room.bytes >> 20, disk_floor_megabytes: 256 }
    }
}

impl Admission {
    /// The amounts as replication knows them.
    pub const fn room(&self) -> Room {
        Room { files: self.files_per_member, bytes: self.megabytes_per_member.saturating_mul(1 << 20) }
    }
}

/// What drafts. A brain can only produce drafts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Brain {
    /// `none`, `template` (a polite acknowledgement, no key needed) or `command`.
    pub kind: BrainKind,
    /// For `command`: the program and its arguments; the prompt comes on its stdin, the draft's body on its stdout.
    pub command: Vec<String>,
    /// For `command`: an agent that is known, and how it is called; it drafts by tools, and `command` may name where it lies.
    pub preset: Option<Preset>,
    /// A line under each mail that is drafted on this node, which says to those who read it who drafted it.
    pub disclosure: Option<String>,
    /// What it may use.
    pub budget: BrainBudget,
    /// Seconds before a command is ended.
    pub timeout_s: u64,
    /// Bytes of output after which a command is ended.
    pub output_bytes_max: u64,
    /// For `command`: what it finds in its environment, beside `PATH` and `HOME`; `${secret:NAME}` stands for a secret
    /// of Cloud (`aiemp-node secrets add NAME --use model`).
    pub env: BTreeMap<String, EnvValue>,
    /// For `command`: files and folders that it reads, beside the system's and its own.
    pub reads: Vec<PathBuf>,
    /// For `command`: folders that it writes to, beside its own.
    pub writes: Vec<PathBuf>,
}

/// An agent whose way of being called is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Claude Code, without a terminal.
    ClaudeCode,
}

/// What a brain that is a program may use. A run that would exceed it does not begin; its task waits.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct BrainBudget {
    /// Runs at once.
    pub at_once: usize,
    /// For an agent: runs for one task that end without anything, in any 24 hours.
    pub runs_per_task: u32,
    /// Runs in any hour.
    pub runs_per_hour: usize,
    /// Runs in any 24 hours.
    pub runs_per_day: usize,
    /// Tokens in any 24 hours, as far as the agent reports them; not bounded unless given.
    pub tokens_per_day: Option<u64>,
    /// Dollars in any 24 hours, as far as the agent reports them; not bounded unless given.
    pub dollars_per_day: Option<f64>,
}

// No number is read that is none.
impl Eq for BrainBudget {}

impl Default for BrainBudget {
    fn default() -> Self {
        let Limits { at_once, runs_per_task, runs_per_hour, runs_per_day, .. } = Limits::default();
        Self { at_once, runs_per_task, runs_per_hour, runs_per_day, tokens_per_day: None, dollars_per_day: None }
    }
}

impl BrainBudget {
    /// The bounds as the core knows them.
    pub fn limits(&self) -> Limits {
        Limits {
            at_once: self.at_once,
            runs_per_task: self.runs_per_task,
            runs_per_hour: self.runs_per_hour,
            runs_per_day: self.runs_per_day,
            tokens_per_day: self.tokens_per_day,
            cost_per_day: self.dollars_per_day.map(|dollars| (dollars * 1_000_000.0) as u64),
        }
    }

    fn objection(&self) -> Option<&'static str> {
        if self.at_once == 0 || self.runs_per_task == 0 {
            return Some(
                "`[brain.budget]` `at_once` and `runs_per_task` are at least 1; `kind = \"none\"` asks nothing",
            );
        }
        let is_amount = |dollars: f64| dollars.is_finite() && dollars >= 0.0;
        let is_refused = self.dollars_per_day.is_some_and(|dollars| !is_amount(dollars));
        is_refused.then_some("`[brain.budget]` `dollars_per_day` is an amount such as 5.0")
    }
}

/// What a variable of the environment is set to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum EnvValue {
    /// This text.
    Plain(String),
    /// The secret of this name.
    Secret(String),
}

impl EnvValue {
    /// Whether it stands for a secret.
    pub fn is_secret(&self) -> bool {
        self.secret().is_some()
    }

    /// The name of the secret that it stands for.
    pub fn secret(&self) -> Option<&str> {
        match self {
            Self::Plain(_) => None,
            Self::Secret(name) => Some(name),
        }
    }
}

impl TryFrom<String> for EnvValue {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let name = text.strip_prefix("${secret:").and_then(|rest| rest.strip_suffix('}'));
        match name {
            Some(name) if is_name(name) => Ok(Self::Secret(name.to_owned())),
            None if !text.contains("${") => Ok(Self::Plain(text)),
            Some(_) | None => {
                Err("a secret is written `${secret:NAME}`, alone, with a name as `secrets add` takes it".to_owned())
            }
        }
    }
}

impl From<EnvValue> for String {
    fn from(value: EnvValue) -> Self {
        match value {
            EnvValue::Plain(text) => text,
            EnvValue::Secret(name) => format!("${{secret:{name}}}"),
        }
    }
}

/// Which brain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BrainKind {
    /// This node drafts nothing and claims nothing.
    #[default]
    None,
    /// The embedded acknowledgement.
    Template,
    /// A program of the person's choice.
    Command,
}

impl Default for Brain {
    fn default() -> Self {
        Self {
            kind: BrainKind::None,
            command: Vec::new(),
            preset: None,
            disclosure: None,
            budget: BrainBudget::default(),
            timeout_s: 120,
            output_bytes_max: 262_144,
            env: BTreeMap::new(),
            reads: Vec::new(),
            writes: Vec::new(),
        }
    }
}

/// How mails leave.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mail {
    /// `outbox` or `smtp`; a draft may name another.
    pub hand: String,
    /// The sender of drafts that name none: `Name <a@b>`.
    pub from: Option<String>,
}

impl Default for Mail {
    fn default() -> Self {
        Self { hand: "outbox".to_owned(), from: None }
    }
}

/// The hand that writes mails as files, in Maildir form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Outbox {
    /// Where; `<home>/outbox` by default.
    pub dir: Option<PathBuf>,
}

/// The hand that sends mails.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Smtp {
    /// The submission server.
    pub host: String,
    /// Its port; 587 by default, 465 with `tls`.
    pub port: Option<u16>,
    /// `starttls`, `tls`, or `plain` for a server on this machine.
    #[serde(default)]
    pub security: SmtpSecurity,
    /// For AUTH.
    pub username: Option<String>,
    /// Name of the secret that holds the password (`aiemp-node secrets add NAME`).
    pub password_secret: Option<String>,
    /// Seconds to wait for any one answer.
    #[serde(default = "smtp_timeout_s")]
    pub timeout_s: u64,
    /// A PEM file with the root of a private certificate authority.
    pub ca_file: Option<PathBuf>,
    /// Where the provider lets nobody in by password: `password_secret` names a refresh token then, also of `sent`.
    pub oauth2: Option<Oauth2>,
    /// Where sent mails lie, to be looked for after a crash.
    pub sent: Option<Sent>,
}

/// The folder in which a mail server keeps what was sent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Sent {
    /// The IMAP server.
    pub host: String,
    /// Its port; 993 by default, 143 without `tls`.
    pub port: Option<u16>,
    /// `tls`, `starttls`, or `plain` for a server on this machine.
    #[serde(default = "tls")]
    pub security: SmtpSecurity,
    /// The name to log in with.
    pub username: String,
    /// Name of the secret that holds the password.
    pub password_secret: String,
    /// The folder.
    #[serde(default = "sent_folder")]
    pub folder: String,
    /// Whether the server itself puts every mail that it sends there: one that is not there was not sent.
    #[serde(default)]
    pub files_sent: bool,
}

const fn tls() -> SmtpSecurity {
    SmtpSecurity::Tls
}

fn sent_folder() -> String {
    "Sent".to_owned()
}

const fn smtp_timeout_s() -> u64 {
    30
}

/// How the connection is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpSecurity {
    /// Plain at first, then TLS; never sends without.
    #[default]
    Starttls,
    /// TLS from the first byte.
    Tls,
    /// None; refused unless the server is on this machine.
    Plain,
}

impl SmtpSecurity {
    /// The usual port of IMAP.
    const fn imap_port(self) -> u16 {
        match self {
            Self::Tls => 993,
            Self::Starttls | Self::Plain => 143,
        }
    }

    /// The protection as the hands know it.
    pub const fn of_hand(self) -> Security {
        match self {
            Self::Starttls => Security::Starttls,
            Self::Tls => Security::Tls,
            Self::Plain => Security::Plain,
        }
    }
}

impl Sent {
    /// The port in force.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or_else(|| self.security.imap_port())
    }
}

impl Smtp {
    /// What the hand is: who is called and what is found there, so everything but the patience.
    pub fn digest(&self) -> Hash {
        let same = Self { timeout_s: 0, ..self.clone() };
        let text = toml::to_string(&same).expect("settings that were read from TOML can be written as TOML");
        Hash::labelled(SMTP_LABEL, [cbor::text(&text)])
    }

    /// The port in force.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(match self.security {
            SmtpSecurity::Tls => 465,
            SmtpSecurity::Starttls | SmtpSecurity::Plain => 587,
        })
    }

    /// The protection as the hand knows it.
    pub const fn security(&self) -> Security {
        self.security.of_hand()
    }

    /// The time to wait for any one answer.
    pub const fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_s)
    }
}

/// Why settings are refused. The start is refused with them.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// Not TOML, an unknown key, or a value of the wrong type; the message shows the line.
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    /// Keys that contradict each other.
    #[error("{0}")]
    Inconsistent(String),
}

impl Config {
    /// Reads settings and checks that they fit each other.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text)?;
        let refuse = |message: &str| Err(ConfigError::Inconsistent(message.to_owned()));
        if config.vault.as_os_str().is_empty() {
            return refuse("`vault` is missing: set it to the absolute path of the vault");
        }
        if !config.vault.is_absolute() {
            return refuse("`vault` must be an absolute path");
        }
        if config.brain.kind == BrainKind::Command && config.brain.command.is_empty() && config.brain.preset.is_none() {
            return refuse(
                "`[brain] kind = \"command\"` needs `command = [\"PROGRAM\", …]`, or `preset = \"claude-code\"`",
            );
        }
        if let Some(path) = config.brain.reads.iter().chain(&config.brain.writes).find(|path| !path.is_absolute()) {
            return refuse(&format!("`[brain]`: `{}` must be an absolute path", path.display()));
        }
        if config.brain.disclosure.as_deref().is_some_and(|line| line.trim().is_empty() || line.contains('\n')) {
            return refuse("`[brain] disclosure` is one line; leave it out for none");
        }
        if let Some(why) = config.brain.budget.objection() {
            return refuse(why);
        }
        if let Some(why) = config.bank.iter().find_map(Bank::objection) {
            return refuse(&why);
        }
        let mut names = std::collections::BTreeSet::new();
        if let Some(bank) = config.bank.iter().find(|bank| !names.insert(bank.name.to_ascii_lowercase())) {
            return refuse(&format!("`[[bank]] {}` stands there twice", bank.name));
        }
        if let Some(why) = config.schedule.objection() {
            return refuse(&why);
        }
        if let Some(why) = config.mail_in.imap.as_ref().and_then(Imap::objection) {
            return refuse(why);
        }
        if let Some(why) = config.mail_in.lmtp.as_ref().and_then(Lmtp::objection) {
            return refuse(why);
        }
        let imap = config.mail_in.imap.as_ref().map(|imap| ("mail_in.imap", imap.oauth2.as_ref()));
        let smtp = config.smtp.as_ref().map(|smtp| ("smtp", smtp.oauth2.as_ref()));
        for (table, oauth2) in imap.into_iter().chain(smtp) {
            if let Some(why) = oauth2.and_then(Oauth2::objection) {
                return refuse(&format!("`[{table}.oauth2]`: {why}"));
            }
        }
        match config.mail.hand.as_str() {
            "outbox" => {}
            "smtp" if config.smtp.is_some() => {}
            "smtp" => return refuse("`[mail] hand = \"smtp\"` needs an `[smtp]` table with at least `host`"),
            _ => return refuse("`[mail] hand` is `outbox` or `smtp`"),
        }
        Ok(config)
    }

    /// Whether this node takes part in claims.
    pub fn has_brain(&self) -> bool {
        self.brain.kind != BrainKind::None
    }
}
