//! Opening the connection, as protected as the settings say and never less.

use std::{
    fs,
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr},
    path::Path,
    pin::Pin,
    task::{Context, Poll, ready},
};

use lettre::transport::smtp::{
    client::{AsyncSmtpConnection, AsyncTokioStream, Certificate, CertificateStore, TlsParameters},
    extension::ClientId,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};

use super::{Failure, Security, SmtpSettings, within};

/// Opens a connection up to the reply to EHLO, the encrypted one where there are two.
pub(super) async fn open(settings: &SmtpSettings) -> Result<AsyncSmtpConnection, Failure> {
    let host = settings.host.trim_start_matches('[').trim_end_matches(']');
    // Names this machine by a literal: the host name of a person's computer is nobody's business.
    let hello = ClientId::default();
    match settings.security {
        Security::Tls => {
            let tls = tls_parameters(host, settings.ca_file.as_deref())?;
            let connecting = AsyncSmtpConnection::connect_tokio1(
                (host, settings.port),
                Some(settings.timeout),
                &hello,
                Some(tls),
                None,
            );
            within(settings, &step(settings), connecting).await
        }
        Security::Starttls => {
            let tls = tls_parameters(host, settings.ca_file.as_deref())?;
            let mut connection = greeted(settings, dial(settings, host).await?, &hello).await?;
            within(settings, "STARTTLS", connection.starttls(tls, &hello)).await?;
            Ok(connection)
        }
        Security::Plain => {
            if !is_this_machine(host) {
                let reason =
                    format!("{host} is another machine, and nothing leaves this one unencrypted; use starttls or tls");
                return Err(Failure::permanent(reason));
            }
            let stream = dial(settings, host).await?;
            if !stream.peer_addr().is_ok_and(|peer| peer.ip().to_canonical().is_loopback()) {
                return Err(Failure::permanent(format!("{host} does not lead to this machine; use starttls or tls")));
            }
            greeted(settings, stream, &hello).await
        }
    }
}

fn step(settings: &SmtpSettings) -> String {
    format!("connecting to {}:{}", settings.host, settings.port)
}

fn is_this_machine(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

async fn dial(settings: &SmtpSettings, host: &str) -> Result<TcpStream, Failure> {
    let step = step(settings);
    match timeout(settings.timeout, TcpStream::connect((host, settings.port))).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(Failure { reason: format!("{step}: {error}"), retryable: true }),
        Err(_) => {
            let reason = format!("{step}: no answer within {} ms", settings.timeout.as_millis());
            Err(Failure { reason, retryable: true })
        }
    }
}

async fn greeted(settings: &SmtpSettings, tcp: TcpStream, hello: &ClientId) -> Result<AsyncSmtpConnection, Failure> {
    let stream = Box::new(LineStream { tcp, held: Vec::new() });
    within(settings, &step(settings), AsyncSmtpConnection::connect_with_transport(stream, hello)).await
}

fn tls_parameters(host: &str, ca_file: Option<&Path>) -> Result<TlsParameters, Failure> {
    let mut builder = TlsParameters::builder(host.to_owned()).certificate_store(CertificateStore::WebpkiRoots);
    if let Some(path) = ca_file {
        let certificate = read_certificates(path).map_err(|error| {
            Failure::permanent(format!("cannot use the certificates in {}: {error}; check `ca_file`", path.display()))
        })?;
        builder = builder.add_root_certificate(certificate);
    }
    builder.build().map_err(|error| Failure::of("preparing TLS", &error))
}

fn read_certificates(path: &Path) -> io::Result<Certificate> {
    let pem = fs::read(path)?;
    if !pem.windows(27).any(|window| window == b"-----BEGIN CERTIFICATE-----") {
        return Err(io::Error::new(ErrorKind::InvalidData, "no PEM certificate in the file"));
    }
    Certificate::from_pem(&pem).map_err(io::Error::other)
}

/// A TCP stream that hands out at most one line at a time.
///
/// lettre keeps what it has read beyond a reply. Words that somebody on the way put behind the reply to STARTTLS would
/// thus be taken for the server's encrypted replies, up to "250 accepted". Held back here, they reach the TLS
/// handshake, which fails.
#[derive(Debug)]
struct LineStream {
    tcp: TcpStream,
    held: Vec<u8>,
}

impl AsyncTokioStream for LineStream {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.peer_addr()
    }
}

impl AsyncRead for LineStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.held.is_empty() {
            let mut space = [0; 4096];
            let mut read = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut this.tcp).poll_read(cx, &mut read))?;
            this.held.extend_from_slice(read.filled());
        }
        let line = this.held.iter().position(|byte| *byte == b'\n').map_or(this.held.len(), |end| end + 1);
        let handed = line.min(out.remaining());
        out.put_slice(&this.held[..handed]);
        this.held.drain(..handed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for LineStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
