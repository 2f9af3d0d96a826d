//! Looks into the folder in which a mail server keeps what was sent, for the Message-ID of one mail.
//!
//! It reads (EXAMINE) and changes nothing. The server is as protected as the settings say and never less.

use std::{path::PathBuf, sync::Arc, time::Duration};

use aiemp_keys::Secret;
use rustls::pki_types::ServerName;
use tokio::{
    io::{self, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{smtp::Security, tls};
use crate::{core::mail::inert, hands::is_loopback};

/// Bytes that a server may say in one look: greetings, and the numbers of a few mails.
const HEARD_BYTES_MAX: usize = 256 << 10;
/// Words of the server that are kept.
const REASON_BYTES_MAX: usize = 300;

/// Where to look, and as whom.
#[derive(Debug)]
pub(super) struct SentFolder {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) security: Security,
    pub(super) username: String,
    pub(super) password: Secret<String>,
    pub(super) folder: String,
    /// For the whole look.
    pub(super) timeout: Duration,
    pub(super) ca_file: Option<PathBuf>,
}

impl SentFolder {
    /// Whether the folder holds a mail with this Message-ID, given without its brackets; or why that cannot be told now.
    pub(super) async fn holds(&self, message_id: &str) -> Result<bool, String> {
        let place = format!("{}:{}", self.host, self.port);
        match timeout(self.timeout, self.look(message_id)).await {
            Ok(looked) => looked.map_err(|why| inert::one_line(&format!("{place}: {why}"), REASON_BYTES_MAX)),
            Err(_) => Err(format!("{place}: no answer within {} s", self.timeout.as_secs())),
        }
    }

    async fn look(&self, message_id: &str) -> Result<bool, String> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        if self.security == Security::Plain && !is_loopback(host) {
            return Err(
                "it is another machine, and no password leaves this one unencrypted; use tls or starttls".into()
            );
        }
        let tcp = TcpStream::connect((host, self.port)).await.map_err(|error| error.to_string())?;
        if self.security == Security::Plain && !tcp.peer_addr().is_ok_and(|peer| peer.ip().to_canonical().is_loopback())
        {
            return Err("it does not lead to this machine; use tls or starttls".into());
        }
        match self.security {
            Security::Plain => self.search(Dialogue::greeted(tcp).await?, message_id).await,
            Security::Tls => self.search(Dialogue::greeted(self.encrypted(host, tcp).await?).await?, message_id).await,
            Security::Starttls => {
                let mut dialogue = Dialogue::greeted(tcp).await?;
                dialogue.command("STARTTLS", |_| {}).await.map_err(|why| format!("STARTTLS: {why}"))?;
                let stream = self.encrypted(host, dialogue.into_quiet()?).await?;
                self.search(Dialogue::new(stream), message_id).await
            }
        }
    }

    async fn encrypted(&self, host: &str, tcp: TcpStream) -> Result<TlsStream<TcpStream>, String> {
        let config = tls::client_config(self.ca_file.as_deref())?;
        let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
        TlsConnector::from(Arc::new(config)).connect(name, tcp).await.map_err(|error| error.to_string())
    }

    async fn search<T: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut dialogue: Dialogue<T>,
        message_id: &str,
    ) -> Result<bool, String> {
        let login = format!("LOGIN {} {}", quoted(&self.username)?, quoted(self.password.expose())?);
        dialogue.command(&login, |_| {}).await.map_err(|why| format!("logging in: {why}"))?;
        let examine = format!("EXAMINE {}", quoted(&self.folder)?);
        let opened = dialogue.command(&examine, |_| {}).await;
        opened.map_err(|why| format!("opening the folder {}: {why}", self.folder))?;
        let search = format!("UID SEARCH HEADER Message-ID {}", quoted(&format!("<{message_id}>"))?);
        let mut is_there = false;
        let looked = dialogue.command(&search, |told| is_there |= names_a_mail(told)).await;
        looked.map_err(|why| format!("looking for the mail: {why}"))?;
        // What the server says to it changes nothing.
        dialogue.command("LOGOUT", |_| {}).await.ok();
        Ok(is_there)
    }
}

/// One command after the other, as far as a look needs them (RFC 3501). An answer counts only when it is whole: that a
/// mail does not lie there is believed only behind the server's own "OK".
struct Dialogue<T> {
    stream: BufReader<T>,
    commands: u32,
    left: usize,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Dialogue<T> {
    fn new(stream: T) -> Self {
        Self { stream: BufReader::new(stream), commands: 0, left: HEARD_BYTES_MAX }
    }

    /// Begins with the server's greeting.
    async fn greeted(stream: T) -> Result<Self, String> {
        let mut dialogue = Self::new(stream);
        let greeting = dialogue.line().await?;
        if begins_with(&greeting, "* OK") { Ok(dialogue) } else { Err(format!("it greets with {greeting}")) }
    }

    /// Gives a command, and what the server tells before it says that it was done.
    async fn command(&mut self, words: &str, mut told: impl FnMut(&str)) -> Result<(), String> {
        self.commands += 1;
        let tag = format!("a{} ", self.commands);
        let line = format!("{tag}{words}\r\n");
        let said = async {
            self.stream.write_all(line.as_bytes()).await?;
            self.stream.flush().await
        };
        said.await.map_err(|error: io::Error| error.to_string())?;
        loop {
            let line = self.line().await?;
            if let Some(words) = line.strip_prefix("* ") {
                told(words);
            } else if let Some(end) = line.strip_prefix(&tag) {
                return if begins_with(end, "OK") { Ok(()) } else { Err(end.to_owned()) };
            } else {
                return Err(format!("it answers {line}"));
            }
        }
    }

    async fn line(&mut self) -> Result<String, String> {
        let mut line = Vec::new();
        let bound = u64::try_from(self.left).unwrap_or(u64::MAX);
        let read = (&mut self.stream).take(bound).read_until(b'\n', &mut line).await;
        self.left -= read.map_err(|error| error.to_string())?;
        if self.left == 0 {
            return Err("it says more than any mail server would".to_owned());
        }
        if line.pop() != Some(b'\n') {
            return Err("it broke off".to_owned());
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end_matches('\r');
        // A text of several lines would follow, and none belongs to these commands.
        if line.ends_with('}') {
            return Err("it answers in a form that is not read here".to_owned());
        }
        Ok(line.to_owned())
    }

    /// The stream below, if nothing was said that was not asked for: such words would be taken for encrypted ones.
    fn into_quiet(self) -> Result<T, String> {
        if !self.stream.buffer().is_empty() {
            return Err("it says more behind STARTTLS than it may".to_owned());
        }
        Ok(self.stream.into_inner())
    }
}

fn begins_with(line: &str, word: &str) -> bool {
    let rest = line.get(..word.len()).filter(|begin| begin.eq_ignore_ascii_case(word)).map(|_| &line[word.len()..]);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

/// `SEARCH 7 9`.
fn names_a_mail(told: &str) -> bool {
    begins_with(told, "SEARCH") && told.split(' ').skip(1).any(|number| number.parse::<u32>().is_ok())
}

fn quoted(text: &str) -> Result<String, String> {
    if !text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return Err("name, password and folder can hold visible ASCII only".to_owned());
    }
    Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

#[cfg(test)]
mod tests;
