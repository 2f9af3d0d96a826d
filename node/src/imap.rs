//! A connection to a mailbox over IMAP (RFC 3501), for whoever reads there: as protected as the settings say and never
//! less, one command after the other, each answer of bounded size, which is counted before any memory is taken for what a
//! server announces. Answers are read here (`answer`): the libraries for it go as deep as a server wants.

use std::{io, sync::Arc, time::Duration};

use aiemp_keys::Secret;
use data_encoding::BASE64;
use rustls::{ClientConfig, pki_types::ServerName};
use thiserror::Error;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::TlsConnector;

pub(crate) use self::answer::{Answer, Fetched, code};
use crate::{
    core::mail::inert,
    executor::smtp::Security,
    hands::is_loopback,
    login::{NoToken, Shown},
};

pub mod answer;

/// Bytes of one answer beside the texts of several lines in it.
const LINE_BYTES_MAX: usize = 64 << 10;
/// Bytes that a server may say to one command, unless it is asked for more.
const HEARD_BYTES_MAX: usize = 256 << 10;
/// Words of the server that are kept.
const REASON_BYTES_MAX: usize = 300;

/// The step at which a name and password are turned away.
pub(crate) const LOGIN: &str = "logging in";
/// The step at which a server says that it cannot tell of new mails by itself.
pub(crate) const IDLE: &str = "waiting for mail";
const LOGOUT: &str = "LOGOUT";

/// Where a mailbox is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) security: Security,
    /// Whom it is trusted to be by.
    pub(crate) tls: Arc<ClientConfig>,
    /// For each answer.
    pub(crate) patience: Duration,
}

/// Why a server was of no use.
#[derive(Debug, Error)]
pub(crate) enum ImapError {
    /// It cannot be reached, broke off, or gave no answer in time.
    #[error("{0}")]
    Connection(String),
    /// It said no.
    #[error("{step}: {said}")]
    Refused {
        /// What it was asked for.
        step: &'static str,
        /// Its words, or why nothing was said to it.
        said: String,
    },
    /// What it says is no IMAP, or too much.
    #[error("{0}")]
    Protocol(String),
    /// As the settings are, nothing may be said to it.
    #[error("{0}")]
    Settings(String),
}

impl From<io::Error> for ImapError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof { broke_off() } else { Self::Connection(error.to_string()) }
    }
}

impl From<NoToken> for ImapError {
    fn from(error: NoToken) -> Self {
        match error {
            NoToken::Refused(said) => Self::Refused { step: LOGIN, said },
            NoToken::Failed(why) => Self::Connection(why),
        }
    }
}

impl ImapError {
    /// With the step at which the connection failed.
    fn at(self, step: &str) -> Self {
        match self {
            Self::Connection(why) => Self::Connection(format!("{step}: {why}")),
            Self::Refused { .. } | Self::Protocol(_) | Self::Settings(_) => self,
        }
    }
}

/// A stream, encrypted or not.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection: one command after the other. An answer counts only when the server's own "OK" stands behind it.
pub(crate) struct Connection {
    stream: BufReader<Box<dyn Stream>>,
    commands: u32,
    /// Bytes that may be heard still.
    left: usize,
    patience: Duration,
    /// What was shown here, in each form that a server could repeat it in.
    hidden: Vec<Secret<String>>,
}

impl Connection {
    /// Connects, up to the point where a password may be said.
    pub(crate) async fn open(place: &Place) -> Result<Self, ImapError> {
        let host = place.host.trim_start_matches('[').trim_end_matches(']');
        if place.security == Security::Plain && !is_loopback(host) {
            return Err(ImapError::Settings(
                "it is another machine, and no password leaves this one unencrypted; use tls or starttls".to_owned(),
            ));
        }
        let tcp = timeout(place.patience, TcpStream::connect((host, place.port))).await;
        let tcp = tcp.map_err(|_| silent(place.patience))??;
        if place.security == Security::Plain
            && !tcp.peer_addr().is_ok_and(|peer| peer.ip().to_canonical().is_loopback())
        {
            return Err(ImapError::Settings("it does not lead to this machine; use tls or starttls".to_owned()));
        }
        match place.security {
            Security::Plain => Self::greeted(Box::new(tcp), place.patience).await,
            Security::Tls => Self::greeted(encrypted(place, host, Box::new(tcp)).await?, place.patience).await,
            Security::Starttls => {
                let mut connection = Self::greeted(Box::new(tcp), place.patience).await?;
                connection.command("STARTTLS", "STARTTLS", |_| {}).await?;
                let stream = encrypted(place, host, connection.into_quiet()?).await?;
                Ok(Self::new(stream, place.patience))
            }
        }
    }

    fn new(stream: Box<dyn Stream>, patience: Duration) -> Self {
        Self { stream: BufReader::new(stream), commands: 0, left: HEARD_BYTES_MAX, patience, hidden: Vec::new() }
    }

    /// Begins with the server's greeting.
    async fn greeted(stream: Box<dyn Stream>, patience: Duration) -> Result<Self, ImapError> {
        let mut connection = Self::new(stream, patience);
        let greeting = connection.answer().await?;
        let is_ready =
            matches!(answer::read(&greeting), Some(Answer::Status { word, .. }) if word.eq_ignore_ascii_case("OK"));
        if is_ready {
            Ok(connection)
        } else {
            Err(ImapError::Protocol(format!("it greets with {}", connection.words(&greeting))))
        }
    }

    /// Logs in. From then on nothing that is told of this connection holds what was shown.
    pub(crate) async fn log_in(&mut self, username: &str, shown: &Shown) -> Result<(), ImapError> {
        let refused = |said: String| ImapError::Refused { step: LOGIN, said };
        let secret = shown.secret().expose().as_str();
        let lines = match shown {
            Shown::Password(_) => {
                let (name, password) = (quoted(username).map_err(refused)?, quoted(secret).map_err(refused)?);
                self.hidden.push(Secret::new(password.clone()));
                [format!("LOGIN {name} {password}"), String::new()]
            }
            Shown::Token(_) if username.chars().chain(secret.chars()).any(char::is_control) => {
                return Err(refused("name and token can hold no control characters".to_owned()));
            }
            Shown::Token(_) => {
                let told = format!("user={username}\x01auth=Bearer {secret}\x01\x01");
                let told = BASE64.encode(Secret::new(told).expose().as_bytes());
                self.hidden.push(Secret::new(told.clone()));
                ["AUTHENTICATE XOAUTH2".to_owned(), told]
            }
        };
        self.hidden.push(Secret::new(secret.to_owned()));
        let [command, answer] = lines.map(Secret::new);
        self.left = HEARD_BYTES_MAX;
        let whole = self.patience * 2;
        let logged_in = timeout(whole, self.authenticate(command.expose(), answer.expose())).await;
        logged_in.unwrap_or_else(|_| Err(silent(whole))).map_err(|error| error.at(LOGIN))
    }

    /// One command, and an answer to the server's first question. To a second one, by which it says why it refuses, it gets
    /// an empty line, and then says no.
    async fn authenticate(&mut self, command: &str, answer: &str) -> Result<(), ImapError> {
        let tag = self.say_tagged(command).await?;
        let mut answers = [answer, ""].into_iter().filter(|_| !answer.is_empty());
        loop {
            let heard = self.answer().await?;
            match answer::read(&heard) {
                Some(Answer::GoOn) => match answers.next() {
                    Some(answer) => self.say(answer).await?,
                    None => return Err(self.unreadable(&heard)),
                },
                Some(Answer::Done { tag: found, is_ok: true, .. }) if found == tag => return Ok(()),
                Some(Answer::Done { tag: found, is_ok: false, said }) if found == tag => {
                    return Err(ImapError::Refused { step: LOGIN, said: self.words(said.as_bytes()) });
                }
                Some(Answer::Status { word, said }) if word.eq_ignore_ascii_case("BYE") => {
                    return Err(self.ended(said));
                }
                Some(Answer::Done { .. }) | None => return Err(self.unreadable(&heard)),
                Some(_) => {}
            }
        }
    }

    /// Opens a folder in which nothing can be changed by this connection.
    pub(crate) async fn examine(&mut self, folder: &str, told: impl FnMut(&Answer<'_>)) -> Result<(), ImapError> {
        const STEP: &str = "opening the folder";
        let named = quoted(folder).map_err(|said| ImapError::Refused { step: STEP, said })?;
        self.command(STEP, &format!("EXAMINE {named}"), told).await.map_err(|error| match error {
            ImapError::Refused { step, said } => ImapError::Refused { step, said: format!("{folder}: {said}") },
            ImapError::Connection(_) | ImapError::Protocol(_) | ImapError::Settings(_) => error,
        })
    }

    /// Whether the server has an extension.
    pub(crate) async fn can(&mut self, extension: &str) -> Result<bool, ImapError> {
        let mut can = false;
        let told = |told: &Answer<'_>| {
            if let Answer::Capabilities(all) = told {
                can |= all.iter().any(|one| one.eq_ignore_ascii_case(extension));
            }
        };
        self.command("asking what it can do", "CAPABILITY", told).await?;
        Ok(can)
    }

    /// Takes leave; what the server says to it changes nothing.
    pub(crate) async fn log_out(mut self) {
        self.command(LOGOUT, LOGOUT, |_| {}).await.ok();
    }

    /// Gives a command, and what the server tells before it says that it was done.
    pub(crate) async fn command(
        &mut self,
        step: &'static str,
        command: &str,
        told: impl FnMut(&Answer<'_>),
    ) -> Result<(), ImapError> {
        self.command_within(HEARD_BYTES_MAX, step, command, told).await
    }

    /// The same, where the answer may have so many bytes.
    pub(crate) async fn command_within(
        &mut self,
        bytes_max: usize,
        step: &'static str,
        command: &str,
        told: impl FnMut(&Answer<'_>),
    ) -> Result<(), ImapError> {
        self.left = bytes_max;
        let done = async {
            let tag = self.say_tagged(command).await?;
            self.until_done(step, &tag, told).await
        };
        done.await.map_err(|error| error.at(step))
    }

    /// Waits until something changes in the folder (RFC 2177), for so long at the most.
    pub(crate) async fn idle(&mut self, wait_max: Duration) -> Result<(), ImapError> {
        self.left = HEARD_BYTES_MAX;
        let tag = self.say_tagged("IDLE").await?;
        loop {
            let answer = self.answer().await?;
            match answer::read(&answer) {
                Some(Answer::GoOn) => break,
                Some(Answer::Done { said, .. }) => {
                    return Err(ImapError::Refused { step: IDLE, said: self.words(said.as_bytes()) });
                }
                // It tells what changed before it began to wait, and tells it no second time.
                Some(Answer::Exists) => return self.end_idle(&tag).await,
                Some(_) | None => {}
            }
        }
        let until = Instant::now() + wait_max;
        // Whatever the server says, keep-alives aside, is worth a look.
        while Instant::now() < until && timeout_at(until, self.stream.fill_buf()).await.is_ok() {
            let answer = self.answer().await?;
            if !matches!(answer::read(&answer), Some(Answer::Status { word, .. }) if word.eq_ignore_ascii_case("OK")) {
                break;
            }
            self.left = HEARD_BYTES_MAX;
        }
        self.end_idle(&tag).await
    }

    async fn end_idle(&mut self, tag: &str) -> Result<(), ImapError> {
        self.say("DONE").await?;
        self.until_done(IDLE, tag, |_| {}).await
    }

    async fn until_done(
        &mut self,
        step: &'static str,
        tag: &str,
        mut told: impl FnMut(&Answer<'_>),
    ) -> Result<(), ImapError> {
        loop {
            let answer = self.answer().await?;
            match answer::read(&answer) {
                Some(Answer::Done { tag: found, is_ok, said }) if found == tag => {
                    return if is_ok {
                        Ok(())
                    } else {
                        Err(ImapError::Refused { step, said: self.words(said.as_bytes()) })
                    };
                }
                Some(Answer::Status { word, said }) if word.eq_ignore_ascii_case("BYE") && step != LOGOUT => {
                    return Err(self.ended(said));
                }
                Some(Answer::Done { .. } | Answer::GoOn) | None => return Err(self.unreadable(&answer)),
                Some(answer) => told(&answer),
            }
        }
    }

    /// A server's words, without what it was shown.
    fn words(&self, answer: &[u8]) -> String {
        let words = String::from_utf8_lossy(answer).into_owned();
        let masked = self.hidden.iter().fold(words, |words, secret| words.replace(secret.expose().as_str(), "***"));
        inert::one_line(&masked, REASON_BYTES_MAX)
    }

    fn unreadable(&self, answer: &[u8]) -> ImapError {
        ImapError::Protocol(format!("it answers {}", self.words(answer)))
    }

    fn ended(&self, said: &str) -> ImapError {
        ImapError::Connection(format!("it ended the connection: {}", self.words(said.as_bytes())))
    }

    async fn say_tagged(&mut self, command: &str) -> Result<String, ImapError> {
        self.commands += 1;
        let tag = format!("a{}", self.commands);
        self.say(&format!("{tag} {command}")).await?;
        Ok(tag)
    }

    async fn say(&mut self, line: &str) -> Result<(), ImapError> {
        let said = async {
            self.stream.write_all(Secret::new(format!("{line}\r\n")).expose().as_bytes()).await?;
            self.stream.flush().await
        };
        timeout(self.patience, said).await.map_err(|_| silent(self.patience))?.map_err(Into::into)
    }

    /// One answer with the texts of several lines that it brings.
    async fn answer(&mut self) -> Result<Vec<u8>, ImapError> {
        let (mut answer, mut beside) = (Vec::new(), LINE_BYTES_MAX);
        loop {
            let begin = answer.len();
            self.take_line(&mut answer, beside).await?;
            beside -= answer.len() - begin;
            let Some(length) = answer::announced(&answer[begin..]) else { return Ok(answer) };
            if length > self.left {
                return Err(too_much());
            }
            self.left -= length;
            let begin = answer.len();
            answer.resize(begin + length, 0);
            let mut rest = &mut answer[begin..];
            while !rest.is_empty() {
                let read =
                    timeout(self.patience, self.stream.read(rest)).await.map_err(|_| silent(self.patience))??;
                if read == 0 {
                    return Err(broke_off());
                }
                rest = &mut rest[read..];
            }
        }
    }

    async fn take_line(&mut self, answer: &mut Vec<u8>, bytes_max: usize) -> Result<(), ImapError> {
        let (begin, bound) = (answer.len(), bytes_max.min(self.left));
        let mut limited = (&mut self.stream).take(u64::try_from(bound).unwrap_or(u64::MAX));
        let read = timeout(self.patience, limited.read_until(b'\n', answer)).await;
        let read = read.map_err(|_| silent(self.patience))??;
        self.left -= read;
        if answer[begin..].last() == Some(&b'\n') {
            return Ok(());
        }
        Err(if read == bound { too_much() } else { broke_off() })
    }

    /// The stream below, if nothing was said that was not asked for: such words would be taken for encrypted ones.
    fn into_quiet(self) -> Result<Box<dyn Stream>, ImapError> {
        if !self.stream.buffer().is_empty() {
            return Err(ImapError::Protocol("it says more behind STARTTLS than it may".to_owned()));
        }
        Ok(self.stream.into_inner())
    }
}

async fn encrypted(place: &Place, host: &str, stream: Box<dyn Stream>) -> Result<Box<dyn Stream>, ImapError> {
    let name = ServerName::try_from(host.to_owned()).map_err(|error| ImapError::Settings(error.to_string()))?;
    let encrypting = TlsConnector::from(Arc::clone(&place.tls)).connect(name, stream);
    let stream = timeout(place.patience, encrypting).await.map_err(|_| silent(place.patience))?;
    stream.map(|stream| Box::new(stream) as Box<dyn Stream>).map_err(|error| match error.to_string() {
        // What `openssl req -x509` makes by default.
        why if why.contains("CaUsedAsEndEntity") => ImapError::Settings(
            "its certificate is an authority's and no server's; make it anew with basicConstraints=CA:FALSE".to_owned(),
        ),
        _ => error.into(),
    })
}

fn silent(patience: Duration) -> ImapError {
    ImapError::Connection(format!("no answer within {} s", patience.as_secs()))
}

fn too_much() -> ImapError {
    ImapError::Protocol("it says more than any mail server would".to_owned())
}

fn broke_off() -> ImapError {
    ImapError::Connection("it broke off".to_owned())
}

/// A quoted string.
pub(crate) fn quoted(text: &str) -> Result<String, String> {
    if !text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return Err("name, password and folder can hold visible ASCII only".to_owned());
    }
    Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

#[cfg(test)]
mod tests;
