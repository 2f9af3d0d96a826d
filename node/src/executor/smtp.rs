//! The SMTP hand: hands one message to a submission server, and knows afterwards whether it may have been sent.
//!
//! The dialogue is driven step by step, because "definitely not sent" and "nobody knows" differ by one reply: until the
//! server has answered DATA with 354 nothing can have been sent, and from then on only its own reply tells.

mod connection;

use std::{path::PathBuf, time::Duration};

use lettre::{
    Address,
    transport::smtp::{
        Error,
        authentication::{Credentials, Mechanism},
        client::AsyncSmtpConnection,
        commands::{Data, Mail, Quit, Rcpt, Rset},
        extension::{Extension, MailBodyParameter, MailParameter},
        response::Response,
    },
};
use tokio::time::timeout;

use super::message::OutgoingMessage;
use crate::{core::mail::inert, login::Shown};

/// Slowest upload that is waited for; it lengthens the wait of a large message.
const UPLOAD_BYTES_PER_SECOND_MIN: u64 = 16 << 10;
/// How long the parting words may take, once nothing depends on them.
const QUIT_TIMEOUT: Duration = Duration::from_secs(2);
/// Server words kept in a journal line.
const REASON_BYTES_MAX: usize = 500;

/// How the connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Plain at first, then STARTTLS, without which nothing is sent (port 587).
    Starttls,
    /// TLS from the first byte (port 465).
    Tls,
    /// None; to this machine only.
    Plain,
}

/// Where and how to send.
#[derive(Debug)]
pub struct SmtpSettings {
    /// Name or address of the server; its certificate must carry it.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
    /// Account, if the server asks for one.
    pub username: Option<String>,
    /// What it is shown of that account.
    pub shown: Option<Shown>,
    /// For each step of the dialogue.
    pub timeout: Duration,
    /// PEM file with certificates of a private authority, trusted besides the public ones.
    pub ca_file: Option<PathBuf>,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SmtpOutcome {
    /// The server has taken it.
    Accepted {
        /// The server's last reply.
        response: String,
    },
    /// Definitely not sent, to nobody.
    NotSent {
        /// For the operator.
        reason: String,
        /// The same may work later, without a change of settings or message.
        retryable: bool,
    },
    /// It may have been sent: the connection failed after the message data was begun.
    Unknown {
        /// For the operator.
        reason: String,
    },
}

/// Whether a server lets somebody in who would send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LetIn {
    /// It does.
    Yes,
    /// It turned the name and password away.
    No,
    /// Nothing listens there, or the name is none.
    Absent,
    /// It gives no answer, or another one.
    Untold,
}

/// Logs in and takes leave; nothing is sent.
pub async fn lets_in(settings: &SmtpSettings) -> LetIn {
    let host = settings.host.trim_start_matches('[').trim_end_matches(']');
    match timeout(settings.timeout, tokio::net::TcpStream::connect((host, settings.port))).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => return LetIn::Absent,
        // The name has no address.
        Ok(Err(error)) if error.raw_os_error().is_none() => return LetIn::Absent,
        Ok(Err(_)) | Err(_) => return LetIn::Untold,
    }
    let (Some(username), Some(shown)) = (&settings.username, &settings.shown) else { return LetIn::Untold };
    let Ok(mut connection) = connection::open(settings).await else { return LetIn::Untold };
    let let_in = match timeout(settings.timeout, authenticate(&mut connection, username, shown)).await {
        Ok(Ok(response)) if response.has_code(235) => LetIn::Yes,
        // RFC 4954 section 6: the credentials are invalid, or another mechanism is asked for.
        Ok(Err(error)) if error.status().is_some_and(|code| [534, 535].contains(&u16::from(code))) => LetIn::No,
        Ok(Ok(_) | Err(_)) | Err(_) => LetIn::Untold,
    };
    part(&mut connection, settings, false).await;
    let_in
}

/// A failure before any message data was sent.
struct Failure {
    reason: String,
    retryable: bool,
}

impl Failure {
    fn permanent(reason: String) -> Self {
        Self { reason, retryable: false }
    }

    fn of(step: &str, error: &Error) -> Self {
        Self { reason: described(step, error), retryable: may_pass(error) }
    }
}

/// Sends one message. Every recipient or none: a single refused one ends the attempt before the message is sent.
///
/// Dropping the future after it was polled leaves the outcome unknown; the caller's journal must say so beforehand.
pub async fn send(settings: &SmtpSettings, message: &OutgoingMessage) -> SmtpOutcome {
    match ready_for_data(settings, message).await {
        Ok(connection) => transmit(connection, settings, message).await,
        Err(Failure { reason, retryable }) => SmtpOutcome::NotSent { reason, retryable },
    }
}

/// Everything up to the 354 that asks for the message.
async fn ready_for_data(settings: &SmtpSettings, message: &OutgoingMessage) -> Result<AsyncSmtpConnection, Failure> {
    let sender = address(&message.envelope_from)?;
    let recipients = message.envelope_to.iter().map(|to| address(to)).collect::<Result<Vec<_>, _>>()?;
    if recipients.is_empty() {
        return Err(Failure::permanent("the message has no recipient".to_owned()));
    }
    let mut connection = connection::open(settings).await?;
    let opened = match log_in(&mut connection, settings).await {
        Ok(()) => open_transaction(&mut connection, settings, message, sender, recipients).await,
        Err(failure) => Err(failure),
    };
    match opened {
        Ok(()) => Ok(connection),
        Err(failure) => {
            part(&mut connection, settings, true).await;
            Err(failure)
        }
    }
}

async fn log_in(connection: &mut AsyncSmtpConnection, settings: &SmtpSettings) -> Result<(), Failure> {
    let Some(username) = &settings.username else { return Ok(()) };
    let Some(shown) = &settings.shown else {
        let reason = format!("there is no password for {username}; store one with `aiemp-node secrets add`");
        return Err(Failure::permanent(reason));
    };
    let response = within(settings, "logging in", authenticate(connection, username, shown)).await?;
    expect(&response, 235, "logging in")
}

async fn authenticate(connection: &mut AsyncSmtpConnection, username: &str, shown: &Shown) -> Result<Response, Error> {
    let credentials = Credentials::new(username.to_owned(), shown.secret().expose().clone());
    let xoauth2 = Mechanism::Xoauth2;
    match shown {
        Shown::Password(_) => connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await,
        Shown::Token(_) => match connection.auth(&[xoauth2], &credentials).await {
            // A server says why it refuses by one more challenge, which the library has no word for, and wants an empty
            // answer before it says no.
            Err(error) if error.is_client() && connection.server_info().supports_auth_mechanism(xoauth2) => {
                connection.command("\r\n").await
            }
            done => done,
        },
    }
}

async fn open_transaction(
    connection: &mut AsyncSmtpConnection,
    settings: &SmtpSettings,
    message: &OutgoingMessage,
    sender: Address,
    recipients: Vec<Address>,
) -> Result<(), Failure> {
    let parameters = mail_parameters(connection, message)?;
    let response =
        within(settings, "naming the sender", connection.command(Mail::new(Some(sender), parameters))).await?;
    expect(&response, 250, "naming the sender")?;
    for recipient in recipients {
        let step = format!("naming the recipient {recipient}");
        let response = within(settings, &step, connection.command(Rcpt::new(recipient, Vec::new()))).await?;
        // RFC 5321 section 4.2: 251 is "will forward"; 252, "cannot verify", is taken as well by every client.
        if !response.has_code(251) && !response.has_code(252) {
            expect(&response, 250, &step)?;
        }
    }
    let response = within(settings, "announcing the message", connection.command(Data)).await?;
    expect(&response, 354, "announcing the message")
}

/// RFC 6531 and RFC 6152: what is not ASCII is announced, and goes only to a server that takes it.
fn mail_parameters(connection: &AsyncSmtpConnection, message: &OutgoingMessage) -> Result<Vec<MailParameter>, Failure> {
    let takes = |extension| connection.server_info().supports_feature(extension);
    let mut parameters = Vec::new();
    if !message.envelope_to.iter().chain([&message.envelope_from]).all(|address| address.is_ascii()) {
        if !takes(Extension::SmtpUtfEight) {
            return Err(Failure::permanent("the server takes ASCII addresses only (no SMTPUTF8)".to_owned()));
        }
        parameters.push(MailParameter::SmtpUtfEight);
    }
    if !message.bytes.is_ascii() {
        if !takes(Extension::EightBitMime) {
            return Err(Failure::permanent("the server takes ASCII messages only (no 8BITMIME)".to_owned()));
        }
        parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    Ok(parameters)
}

/// The message itself. From here on only the server's own reply says that it was not taken.
async fn transmit(
    mut connection: AsyncSmtpConnection,
    settings: &SmtpSettings,
    message: &OutgoingMessage,
) -> SmtpOutcome {
    let upload = Duration::from_secs(message.bytes.len() as u64 / UPLOAD_BYTES_PER_SECOND_MIN);
    let outcome = match timeout(settings.timeout + upload, connection.message(&message.bytes)).await {
        Err(_) => SmtpOutcome::Unknown { reason: "no reply to the message in time".to_owned() },
        Ok(Ok(response)) if is_completed(&response) => SmtpOutcome::Accepted { response: words_of(&response) },
        Ok(Ok(response)) => SmtpOutcome::Unknown { reason: format!("unexpected reply: {}", words_of(&response)) },
        Ok(Err(error)) if error.status().is_some() => {
            SmtpOutcome::NotSent { reason: described("sending the message", &error), retryable: may_pass(&error) }
        }
        Ok(Err(error)) => SmtpOutcome::Unknown { reason: described("sending the message", &error) },
    };
    if !matches!(outcome, SmtpOutcome::Unknown { .. }) {
        part(&mut connection, settings, false).await;
    }
    outcome
}

/// Takes leave; what the server says to it changes nothing.
async fn part(connection: &mut AsyncSmtpConnection, settings: &SmtpSettings, reset: bool) {
    let farewell = async {
        if reset {
            connection.command(Rset).await?;
        }
        connection.command(Quit).await
    };
    drop(timeout(settings.timeout.min(QUIT_TIMEOUT), farewell).await);
}

async fn within<T>(
    settings: &SmtpSettings,
    step: &str,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Failure> {
    match timeout(settings.timeout, work).await {
        Ok(done) => done.map_err(|error| Failure::of(step, &error)),
        Err(_) => {
            let reason = format!("{step}: no answer within {} ms", settings.timeout.as_millis());
            Err(Failure { reason, retryable: true })
        }
    }
}

fn expect(response: &Response, code: u16, step: &str) -> Result<(), Failure> {
    if response.has_code(code) {
        return Ok(());
    }
    Err(Failure::permanent(format!("{step}: expected {code}, the server said {}", words_of(response))))
}

fn is_completed(response: &Response) -> bool {
    u16::from(response.code()) / 100 == 2
}

fn address(text: &str) -> Result<Address, Failure> {
    text.parse().map_err(|_| Failure::permanent(format!("{text:?} is not a mail address")))
}

fn words_of(response: &Response) -> String {
    let words = response.message().collect::<Vec<_>>().join(" ");
    inert::one_line(&format!("{} {words}", response.code()), REASON_BYTES_MAX)
}

fn described(step: &str, error: &Error) -> String {
    inert::one_line(&format!("{step}: {error}"), REASON_BYTES_MAX)
}

/// Lost connections and 4xx replies may pass; 5xx replies, our own refusals and bad certificates will not.
fn may_pass(error: &Error) -> bool {
    if error.status().is_some() {
        return error.is_transient();
    }
    !error.is_client() && !error.is_tls() && !is_bad_certificate(error)
}

/// The TLS layer reports what it refuses, as opposed to a lost connection, as invalid data.
fn is_bad_certificate(error: &Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        match cause.downcast_ref::<std::io::Error>() {
            Some(io) if io.kind() == std::io::ErrorKind::InvalidData => return true,
            Some(_) | None => source = cause.source(),
        }
    }
    false
}

#[cfg(test)]
mod tests;
