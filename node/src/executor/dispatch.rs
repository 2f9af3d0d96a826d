//! The hands: from a row of the journal to the service that sends it, and back to what is known then.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use aiemp_keys::{Hash, cbor};
use aiemp_protocol::{
    action::{Content, Email, Tool},
    approval::journal::{Dispatched, Found, Row, State},
    limits::APPROVAL_LIFETIME,
    roster::Roster,
    time::Timestamp,
};
use data_encoding::HEXLOWER;

use super::{
    http::Call,
    message::{self, ComposeError, OutgoingMessage},
    outbox::{self, OutboxError},
    secrets::{self, SecretError},
    sent_folder::SentFolder,
    smtp::{self, SmtpOutcome, SmtpSettings},
    tool::{ToolCall, Unwanted, why_not_any_more},
};
use crate::{
    config::{Config, Smtp},
    hands::{self, Connector, Request, Sealed, Seen, Server},
    home::Home,
    login::{Credential, NoToken},
    shell::{program_keeper::ProgramKeeper, walls::Reach},
};

const OUTBOX: &str = "outbox";
const SMTP: &str = "smtp";
/// The journal decides anew, by what the hand is now.
const CHANGED: &str = "its hand was declared anew";
const CHANGED_SINCE: &str = "its server was declared anew after it was approved; approve it again";
const OUTBOX_LABEL: &str = "aiemp-node 2026 hand outbox";

/// The ways out: those of the settings, and those that were declared.
#[derive(Debug)]
pub(super) struct Hands {
    home: Home,
    config: Config,
    declared: hands::Hands,
    keeper: Option<ProgramKeeper>,
}

/// One send that is allowed and has a way out.
#[derive(Debug)]
pub(super) struct Job {
    row: Box<Row>,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Mail(MailWay),
    Http(Box<Call>),
    Tool(Box<ToolCall>),
}

#[derive(Debug)]
enum MailWay {
    Outbox { dir: PathBuf, mark: PathBuf },
    Smtp(Box<SmtpCall>),
}

/// A mail that goes to a server.
#[derive(Debug)]
struct SmtpCall {
    /// Without what is shown there.
    settings: SmtpSettings,
    credential: Option<Credential>,
    /// When the approval ends.
    ends: Timestamp,
    unwanted: Unwanted,
}

/// One look for an earlier send.
#[derive(Debug)]
pub(super) enum Look {
    /// It is known without asking anybody.
    Known(Found),
    /// A service has to be asked about a text that was approved then.
    Http(Box<Call>, String, Timestamp),
    /// The folder of sent mails has to be looked through for this Message-ID.
    Sent { folder: Box<SentFolder>, message_id: String, is_complete: bool },
}

impl Hands {
    /// The hands that the settings and the signed declaration name.
    pub(super) fn of(home: &Home, config: Config, declared: hands::Hands, keeper: Option<ProgramKeeper>) -> Self {
        Self { home: home.clone(), config, declared, keeper }
    }

    /// What a process needs to reach that goes by another declaration.
    pub(super) fn reach_with(&self, declared: &hands::Hands) -> Reach {
        Reach::of(&self.config, declared)
    }

    /// Goes by another declaration from now on.
    pub(super) fn declare(&mut self, declared: hands::Hands) {
        self.declared = declared;
    }

    /// What each hand is, by its name: see [`Journal::by_hands`](aiemp_protocol::approval::journal::Journal::by_hands).
    pub(super) fn digests(&self) -> BTreeMap<String, Hash> {
        let declared = self.declared.iter().map(|connector| (connector.name.as_str(), connector.digest));
        let servers = self.declared.servers().map(|server| (server.name.as_str(), server.digest));
        let smtp = self.config.smtp.as_ref().map(|smtp| (SMTP, smtp.digest()));
        let outbox = Hash::labelled(OUTBOX_LABEL, [cbor::bytes(self.outbox().as_os_str().as_bytes())]);
        let hands = declared.chain(servers).chain(smtp).chain([(OUTBOX, outbox)]);
        hands.map(|(name, digest)| (name.to_owned(), digest)).collect()
    }

    /// Whether the hand was declared anew after the journal gave the row out.
    pub(super) fn is_changed(&self, row: &Row) -> bool {
        row.asked != self.digests().remove(row.verified.action.hand())
    }

    /// How many actions the row's hand carries in an hour.
    pub(super) fn per_hour(&self, row: &Row) -> Option<u64> {
        if let Content::Tool(tool) = &row.verified.action.content {
            return self.declared.server(&tool.server)?.per_hour;
        }
        self.connector_of(row)?.per_hour
    }

    /// Finds the way out for a row. An error says why there is none; nothing was sent then.
    pub(super) fn prepare(&self, row: Box<Row>, roster: &Roster) -> Result<Job, Dispatched> {
        let action = &row.verified.action;
        if self.is_changed(&row) {
            // Of a tool it was noted when it was approved.
            let is_tool = matches!(action.content, Content::Tool(_));
            let reason = if is_tool { CHANGED_SINCE } else { CHANGED }.to_owned();
            return Err(Dispatched::NotSent { reason, retryable: !is_tool });
        }
        if let Some(why) = hands::objection(&self.home, &self.config, &self.declared, roster, action) {
            return Err(not_sent(why));
        }
        let no_hand = || not_sent(format!("no hand named `{}` is configured", action.hand()));
        let way = match (&action.content, action.hand()) {
            (Content::Email(_), OUTBOX) => Way::Mail(MailWay::Outbox { dir: self.outbox(), mark: self.mark_of(&row) }),
            (Content::Email(_), _) => {
                let smtp = self.config.smtp.as_ref().ok_or_else(no_hand)?;
                Way::Mail(MailWay::Smtp(Box::new(self.smtp_call(smtp, &row, roster).map_err(not_sent)?)))
            }
            (Content::Tool(tool), _) => {
                let server = self.declared.server(&tool.server).ok_or_else(no_hand)?;
                Way::Tool(Box::new(
                    self.tool_call(server, tool, &row, roster).map_err(|error| not_sent(error.to_string()))?,
                ))
            }
            (Content::Post(_) | Content::Payment(_) | Content::Http(_) | Content::A2a(_), _) => {
                let connector = self.connector_of(&row).ok_or_else(no_hand)?;
                let call = self.call(connector, &row, roster, |sealed, secret| Some(connector.request(sealed, secret)));
                Way::Http(Box::new(call.ok_or_else(no_hand)?.map_err(not_sent)?))
            }
        };
        Ok(Job { row, way })
    }

    fn outbox(&self) -> PathBuf {
        self.config.outbox.dir.clone().unwrap_or_else(|| self.home.outbox())
    }

    fn connector_of(&self, row: &Row) -> Option<&Connector> {
        let action = &row.verified.action;
        self.declared.get(action.hand()).filter(|connector| connector.kind() == action.kind())
    }

    /// A call with the credentials that its server gets, and no others.
    fn tool_call(&self, server: &Server, tool: &Tool, row: &Row, roster: &Roster) -> Result<ToolCall, SecretError> {
        Ok(ToolCall {
            server: server.clone(),
            tool: tool.clone(),
            keeper: self.keeper.clone(),
            secrets: secrets::of_server(&self.home, roster, server)?,
            ends: row.verified.ends(),
            unwanted: Unwanted::default(),
        })
    }

    /// Whether what starts programs is gone, and comes back with another process alone.
    pub(super) fn lost_keeper(&self) -> bool {
        self.keeper.as_ref().is_some_and(ProgramKeeper::is_gone)
    }

    fn smtp_call(&self, smtp: &Smtp, row: &Row, roster: &Roster) -> Result<SmtpCall, String> {
        let credential = smtp.password_secret.as_ref().map(|name| self.credential(smtp, name, roster));
        Ok(SmtpCall {
            settings: SmtpSettings {
                host: smtp.host.clone(),
                port: smtp.port(),
                security: smtp.security(),
                username: smtp.username.clone(),
                shown: None,
                timeout: smtp.timeout(),
                ca_file: smtp.ca_file.clone(),
            },
            credential: credential.transpose()?,
            ends: row.verified.ends(),
            unwanted: Unwanted::default(),
        })
    }

    /// What opens an account at the provider.
    fn credential(&self, smtp: &Smtp, name: &str, roster: &Roster) -> Result<Credential, String> {
        let read = |name: &str| secrets::read(&self.home, roster, name).map_err(|error| error.to_string());
        Credential::of(read(name)?, smtp.oauth2.as_ref(), smtp.ca_file.as_deref(), read)
    }

    /// A request with the credentials that it needs. A dry run is shown, so it gets none.
    fn call(
        &self,
        connector: &Connector,
        row: &Row,
        roster: &Roster,
        make: impl FnOnce(&Sealed<'_>, &dyn Fn(&str) -> Result<String, String>) -> Option<Result<Request, String>>,
    ) -> Option<Result<Call, String>> {
        let used = RefCell::new(Vec::new());
        let secret = |name: &str| {
            if connector.dry_run {
                return Ok(format!("${{secret:{name}}}"));
            }
            let secret = secrets::read(&self.home, roster, name).map_err(|error| error.to_string())?;
            let value = secret.expose().clone();
            used.borrow_mut().push(secret);
            Ok(value)
        };
        let sealed =
            Sealed { action: &row.verified.action, nonce: &row.verified.decision.nonce, approved_at: approved_at(row) };
        let made = make(&sealed, &secret)?;
        let login = connector.login(&secret).transpose();
        let made = made.and_then(|request| Ok((request, login?)));
        Some(made.map(|(request, login)| Call {
            connector: connector.clone(),
            request,
            login,
            ends: row.verified.ends(),
            unwanted: Unwanted::default(),
            secrets: used.take(),
        }))
    }

    /// How to find out whether a row was sent before.
    pub(super) fn look_up(&self, row: &Row, roster: &Roster) -> Look {
        let action = &row.verified.action;
        if self.is_changed(row) {
            return Look::Known(Found::NoAnswer(CHANGED.to_owned()));
        }
        match &action.content {
            Content::Email(email) if email.hand == OUTBOX => {
                Look::Known(self.look_into_outbox(row, email).unwrap_or_else(|error| {
                    tracing::warn!(%error, "cannot look for an earlier send");
                    Found::CannotTell
                }))
            }
            Content::Email(email) if email.hand == SMTP => self.look_into_sent(row, email, roster),
            // What has no hand here may have had one.
            Content::Email(_) | Content::Tool(_) | Content::A2a(_) => Look::Known(Found::CannotTell),
            Content::Post(_) | Content::Payment(_) | Content::Http(_) => self.look_by_connector(row, roster),
        }
    }

    /// A server that took a mail does not say so afterwards, but may keep it.
    fn look_into_sent(&self, row: &Row, email: &Email, roster: &Roster) -> Look {
        let smtp = self.config.smtp.as_ref();
        let Some((smtp, sent)) = smtp.and_then(|smtp| Some((smtp, smtp.sent.as_ref()?))) else {
            return Look::Known(Found::CannotTell);
        };
        if roster.unattended && !hands::is_loopback(&sent.host) {
            return Look::Known(Found::CannotTell);
        }
        let credential = match self.credential(smtp, &sent.password_secret, roster) {
            Ok(credential) => credential,
            Err(why) => return Look::Known(Found::NoAnswer(why)),
        };
        let folder = SentFolder {
            host: sent.host.clone(),
            port: sent.port(),
            security: sent.security.of_hand(),
            username: sent.username.clone(),
            credential,
            folder: sent.folder.clone(),
            timeout: smtp.timeout(),
            ca_file: smtp.ca_file.clone(),
        };
        Look::Sent { folder: Box::new(folder), message_id: message_id_of(row, email), is_complete: sent.files_sent }
    }

    fn look_by_connector(&self, row: &Row, roster: &Roster) -> Look {
        let cannot_tell = Look::Known(Found::CannotTell);
        let action = &row.verified.action;
        let is_allowed = hands::objection(&self.home, &self.config, &self.declared, roster, action).is_none();
        // A hand that is dry has nobody to ask.
        let Some(connector) = self.connector_of(row).filter(|hand| is_allowed && !hand.dry_run) else {
            return cannot_tell;
        };
        if row.state == State::Dispatching && connector.is_repeatable() {
            return Look::Known(Found::Repeatable);
        }
        let text = if let Content::Post(post) = &action.content { post.text.clone() } else { String::new() };
        match self.call(connector, row, roster, |sealed, secret| connector.look(sealed, secret)) {
            None => cannot_tell,
            Some(Err(why)) => Look::Known(Found::NoAnswer(why)),
            Some(Ok(call)) => Look::Http(Box::new(call), text, approved_at(row)),
        }
    }

    fn look_into_outbox(&self, row: &Row, email: &Email) -> Result<Found, OutboxError> {
        let dir = self.outbox();
        Ok(match outbox::find(&dir, &message_id_of(row, email))? {
            Some(path) => Found::Sent(format!("found in {}", path.display())),
            None if outbox::was_tried(&self.mark_of(row))? => return Err(OutboxError::Gone { path: dir }),
            None => Found::Absent,
        })
    }

    /// Forgets what was noted about a row whose end is durable.
    pub(super) fn forget(&self, row: &Row) {
        if let Err(error) = outbox::forget(&self.mark_of(row)) {
            tracing::warn!(%error, "a mark of the outbox is left behind; it may be deleted");
        }
    }

    /// Says that the outbox may have shown a row's mail to whoever reads it.
    fn mark_of(&self, row: &Row) -> PathBuf {
        self.home.executor().join("under-way").join(HEXLOWER.encode(&row.verified.decision.nonce))
    }
}

impl Look {
    /// Looks. Nothing is changed by it.
    pub(super) async fn run(self) -> Found {
        let (call, text, approved_at) = match self {
            Self::Known(found) => return found,
            Self::Sent { folder, message_id, is_complete } => {
                return match folder.holds(&message_id).await {
                    Ok(true) => Found::Sent(format!("found in the folder {}", folder.folder)),
                    Ok(false) => Found::NotSeen { is_complete },
                    Err(why) => Found::NoAnswer(why),
                };
            }
            Self::Http(call, text, approved_at) => (call, text, approved_at),
        };
        let (status, body) = match call.ask().await {
            Ok(answer) => answer,
            Err(why) => return Found::NoAnswer(why),
        };
        match call.connector.seen(status, &body, &text, approved_at) {
            Seen::There(detail) => Found::Sent(detail),
            Seen::NotSeen { is_complete } => Found::NotSeen { is_complete },
            Seen::Nothing(why) => Found::NoAnswer(why),
        }
    }
}

impl Job {
    /// How to say that it is not wanted any more, where it takes a while before it is made.
    pub(super) fn unwanted(&self) -> Option<Unwanted> {
        match &self.way {
            Way::Tool(call) => Some(Unwanted::clone(&call.unwanted)),
            Way::Http(call) => call.login.as_ref().map(|_| Unwanted::clone(&call.unwanted)),
            Way::Mail(MailWay::Smtp(call)) => Some(Unwanted::clone(&call.unwanted)),
            Way::Mail(MailWay::Outbox { .. }) => None,
        }
    }

    /// Sends. Dropping the future after it was polled leaves the outcome unknown, as the journal's row says.
    pub(super) async fn run(self) -> Dispatched {
        let Self { row, way } = self;
        #[cfg(test)]
        let asked_for = (row.verified.decision.action, row.verified.decision.nonce);
        let way = match way {
            #[cfg(test)]
            Way::Http(call) if super::tests::failpoint::is_played() => {
                return super::tests::failpoint::play_http(asked_for, call.send()).await;
            }
            Way::Http(call) => return call.send().await,
            Way::Tool(call) => return call.send().await,
            Way::Mail(way) => way,
        };
        let (name, message) = match composed(row).await {
            Ok(composed) => composed,
            Err(reason) => return not_sent(reason),
        };
        match way {
            #[cfg(test)]
            way if super::tests::failpoint::is_played() => super::tests::failpoint::play(asked_for, || match &way {
                MailWay::Outbox { dir, mark } => deliver(dir, &message, &name, mark),
                MailWay::Smtp(_) => Dispatched::Sent("250 queued".to_owned()),
            }),
            MailWay::Outbox { dir, mark } => tokio::task::spawn_blocking(move || deliver(&dir, &message, &name, &mark))
                .await
                .unwrap_or_else(|error| Dispatched::Unknown(format!("the outbox stopped: {error}"))),
            MailWay::Smtp(call) => call.send(&message).await,
        }
    }
}

impl SmtpCall {
    async fn send(self, message: &OutgoingMessage) -> Dispatched {
        let Self { mut settings, credential, ends, unwanted } = self;
        if let Some(credential) = credential {
            settings.shown = match credential.shown().await {
                Ok(shown) => Some(shown),
                Err(error) => {
                    let retryable = matches!(error, NoToken::Failed(_));
                    return Dispatched::NotSent { reason: error.to_string(), retryable };
                }
            };
            // A renewal may have taken a while.
            if let Some((reason, retryable)) = why_not_any_more(&unwanted, ends) {
                return Dispatched::NotSent { reason: reason.to_owned(), retryable };
            }
        }
        match smtp::send(&settings, message).await {
            SmtpOutcome::Accepted { response } => Dispatched::Sent(response),
            SmtpOutcome::NotSent { reason, retryable } => Dispatched::NotSent { reason, retryable },
            SmtpOutcome::Unknown { reason } => Dispatched::Unknown(reason),
        }
    }
}

fn deliver(dir: &Path, message: &OutgoingMessage, name: &str, mark: &Path) -> Dispatched {
    let error = match outbox::deliver(dir, message, name, mark) {
        Ok(path) => return Dispatched::Sent(format!("written to {}", path.display())),
        Err(error) => error,
    };
    match outbox::was_tried(mark) {
        Ok(false) if matches!(error, OutboxError::Taken { .. }) => not_sent(error.to_string()),
        Ok(false) => Dispatched::NotSent { reason: error.to_string(), retryable: true },
        // The file may have been there although a later step failed.
        Ok(true) | Err(_) => Dispatched::Unknown(error.to_string()),
    }
}

/// The mail of a row and its Message-ID. Composing encodes attachments of many megabytes.
async fn composed(row: Box<Row>) -> Result<(String, OutgoingMessage), String> {
    let Content::Email(email) = row.verified.action.content.clone() else {
        return Err("only mails go by this hand".to_owned());
    };
    let name = message_id_of(&row, &email);
    match tokio::task::spawn_blocking(move || compose(&row, &email)).await {
        Ok(Ok(message)) => Ok((name, message)),
        Ok(Err(error)) => Err(error.to_string()),
        Err(error) => Err(format!("the mail cannot be composed: {error}")),
    }
}

/// The same bytes every time: the date is the time of the approval, not of the attempt.
fn compose(row: &Row, email: &Email) -> Result<OutgoingMessage, ComposeError> {
    let date = approved_at(row);
    let bytes = row.verified.bundle.attachments.iter().cloned();
    let attachments: Vec<_> = email.attachments.iter().cloned().zip(bytes).collect();
    message::compose(email, &attachments, &message_id_of(row, email), date)
}

fn approved_at(row: &Row) -> Timestamp {
    row.verified.decision.expiry.earlier_by(APPROVAL_LIFETIME)
}

/// The Message-ID of a row's mail, without angle brackets.
pub(super) fn message_id_of(row: &Row, email: &Email) -> String {
    let decision = &row.verified.decision;
    message::message_id(&decision.action, &decision.nonce, &email.from)
}

fn not_sent(reason: String) -> Dispatched {
    Dispatched::NotSent { reason, retryable: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> OutgoingMessage {
        OutgoingMessage {
            envelope_from: "me@own.test".into(),
            envelope_to: vec!["a@client.test".into()],
            bytes: b"one".to_vec(),
        }
    }

    #[test]
    fn an_outbox_that_fails_before_the_mail_is_seen_is_tried_again() {
        let home = tempfile::tempdir().unwrap();
        let (dir, mark) = (home.path().join("outbox"), home.path().join("mark"));
        std::fs::write(&dir, b"in the way").unwrap();
        let dispatched = deliver(&dir, &message(), "1@own.test", &mark);
        assert!(matches!(dispatched, Dispatched::NotSent { retryable: true, .. }), "{dispatched:?}");
    }

    #[test]
    fn an_outbox_that_fails_after_the_mail_may_have_been_seen_leaves_the_end_unknown() {
        let home = tempfile::tempdir().unwrap();
        let (dir, mark) = (home.path().join("outbox"), home.path().join("mark"));
        for in_the_way in [false, true] {
            std::fs::write(&mark, b"").unwrap();
            if in_the_way {
                std::fs::remove_dir_all(&dir).unwrap();
                std::fs::write(&dir, b"in the way").unwrap();
            }
            let dispatched = deliver(&dir, &message(), "1@own.test", &mark);
            assert!(matches!(dispatched, Dispatched::Unknown(_)), "{dispatched:?}");
        }
    }
}
