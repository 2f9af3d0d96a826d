//! The hands: from a row of the journal to the service that sends it, and back to what is known then.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use aiemp_protocol::{
    action::{Content, Email},
    approval::journal::{Dispatched, Found, Row},
    limits::APPROVAL_LIFETIME,
    roster::Roster,
};
use data_encoding::HEXLOWER;

use super::{
    message::{self, ComposeError, OutgoingMessage},
    outbox::{self, OutboxError},
    secrets::{self, SecretError},
    smtp::{self, SmtpOutcome, SmtpSettings},
};
use crate::{
    config::{Config, Smtp},
    home::Home,
};

const OUTBOX: &str = "outbox";
const SMTP: &str = "smtp";

/// The configured ways out.
#[derive(Debug)]
pub(super) struct Hands {
    home: Home,
    outbox: PathBuf,
    smtp: Option<Smtp>,
}

/// One send that is allowed and has a way out.
#[derive(Debug)]
pub(super) struct Job {
    row: Box<Row>,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Outbox { dir: PathBuf, mark: PathBuf },
    Smtp(SmtpSettings),
}

impl Hands {
    /// The hands that the settings name.
    pub(super) fn of(home: &Home, config: Config) -> Self {
        let outbox = config.outbox.dir.unwrap_or_else(|| home.outbox());
        Self { home: home.clone(), outbox, smtp: config.smtp }
    }

    /// Finds the way out for a row. An error says why there is none; nothing was sent then.
    pub(super) fn prepare(&self, row: Box<Row>, roster: &Roster) -> Result<Job, Dispatched> {
        let action = &row.verified.action;
        let way = match (&action.content, action.hand()) {
            (Content::Email(_), OUTBOX) => Way::Outbox { dir: self.outbox.clone(), mark: self.mark_of(&row) },
            (Content::Email(_), SMTP) => Way::Smtp(self.smtp_settings(roster).map_err(not_sent)?),
            (Content::Email(_), hand) => {
                return Err(not_sent(format!(
                    "no hand named `{hand}` is configured; mails go by `{OUTBOX}` or `{SMTP}`: change `hand` in the \
                     draft and approve it again"
                )));
            }
            (Content::Post(_) | Content::Payment(_) | Content::Tool(_) | Content::Http(_) | Content::A2a(_), hand) => {
                let kind = action.kind();
                return Err(not_sent(format!(
                    "no hand named `{hand}` is configured; this version sends mails only, so carry out the {kind} \
                     yourself"
                )));
            }
        };
        Ok(Job { row, way })
    }

    fn smtp_settings(&self, roster: &Roster) -> Result<SmtpSettings, String> {
        let Some(smtp) = &self.smtp else {
            return Err(format!(
                "no hand named `{SMTP}` is configured; add an [{SMTP}] table with at least `host` to {}",
                self.home.config().display()
            ));
        };
        if roster.unattended && !is_loopback(&smtp.host) {
            return Err(format!(
                "this mesh is unattended, so nothing leaves this machine, and {} is another one; protect the owner \
                 keys with a passphrase, or use the hand `{OUTBOX}`",
                smtp.host
            ));
        }
        let read = |name: &String| secrets::read(&self.home, roster, name);
        let password = smtp.password_secret.as_ref().map(read).transpose();
        Ok(SmtpSettings {
            host: smtp.host.clone(),
            port: smtp.port(),
            security: smtp.security(),
            username: smtp.username.clone(),
            password: password.map_err(|error: SecretError| error.to_string())?,
            timeout: smtp.timeout(),
            ca_file: smtp.ca_file.clone(),
        })
    }

    /// Looks whether a row was sent before the process ended.
    pub(super) fn look_up(&self, row: &Row) -> Found {
        match &row.verified.action.content {
            Content::Email(email) if email.hand == OUTBOX => {
                self.look_into_outbox(row, email).unwrap_or_else(|error| {
                    tracing::warn!(%error, "cannot look for an earlier send");
                    Found::CannotTell
                })
            }
            // A server that took a mail does not say so afterwards; and what has no hand here may have had one.
            Content::Email(_)
            | Content::Post(_)
            | Content::Payment(_)
            | Content::Tool(_)
            | Content::Http(_)
            | Content::A2a(_) => Found::CannotTell,
        }
    }

    fn look_into_outbox(&self, row: &Row, email: &Email) -> Result<Found, OutboxError> {
        let dir = &self.outbox;
        Ok(match outbox::find(dir, &message_id_of(row, email))? {
            Some(path) => Found::Sent(format!("found in {}", path.display())),
            None if outbox::was_tried(&self.mark_of(row))? => return Err(OutboxError::Gone { path: dir.clone() }),
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

impl Job {
    /// Sends. Dropping the future after it was polled leaves the outcome unknown, as the journal's row says.
    pub(super) async fn run(self) -> Dispatched {
        let Self { row, way } = self;
        let Content::Email(email) = row.verified.action.content.clone() else {
            return not_sent("only mails can be sent".to_owned());
        };
        let name = message_id_of(&row, &email);
        #[cfg(test)]
        let asked_for = (row.verified.decision.action, row.verified.decision.nonce);
        // Composing encodes attachments of many megabytes, and the outbox waits for the disk.
        let composing = tokio::task::spawn_blocking(move || compose(&row, &email));
        let message = match composing.await {
            Ok(Ok(message)) => message,
            Ok(Err(error)) => return not_sent(error.to_string()),
            Err(error) => return not_sent(format!("the mail cannot be composed: {error}")),
        };
        match way {
            #[cfg(test)]
            way if super::tests::failpoint::is_played() => super::tests::failpoint::play(asked_for, || match &way {
                Way::Outbox { dir, mark } => deliver(dir, &message, &name, mark),
                Way::Smtp(_) => Dispatched::Sent("250 queued".to_owned()),
            }),
            Way::Outbox { dir, mark } => tokio::task::spawn_blocking(move || deliver(&dir, &message, &name, &mark))
                .await
                .unwrap_or_else(|error| Dispatched::Unknown(format!("the outbox stopped: {error}"))),
            Way::Smtp(settings) => match smtp::send(&settings, &message).await {
                SmtpOutcome::Accepted { response } => Dispatched::Sent(response),
                SmtpOutcome::NotSent { reason, retryable } => Dispatched::NotSent { reason, retryable },
                SmtpOutcome::Unknown { reason } => Dispatched::Unknown(reason),
            },
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

/// The same bytes every time: the date is the time of the approval, not of the attempt.
fn compose(row: &Row, email: &Email) -> Result<OutgoingMessage, ComposeError> {
    let date = row.verified.decision.expiry.earlier_by(APPROVAL_LIFETIME);
    let bytes = row.verified.bundle.attachments.iter().cloned();
    let attachments: Vec<_> = email.attachments.iter().cloned().zip(bytes).collect();
    message::compose(email, &attachments, &message_id_of(row, email), date)
}

/// The Message-ID of a row's mail, without angle brackets.
pub(super) fn message_id_of(row: &Row, email: &Email) -> String {
    let decision = &row.verified.decision;
    message::message_id(&decision.action, &decision.nonce, &email.from)
}

fn not_sent(reason: String) -> Dispatched {
    Dispatched::NotSent { reason, retryable: false }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_loopback() {
        for host in ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1", "[::1]", "::ffff:127.0.0.1"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.test", "127.0.0.1.test", "192.0.2.1", "mail.example.org", "", "0.0.0.0"] {
            assert!(!is_loopback(host), "{host}");
        }
    }

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
