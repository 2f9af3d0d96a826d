//! `[mail_in]`: where a Cloud node takes mails up from.

use std::{net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{Oauth2, SmtpSecurity, tls};
use crate::shell::cloud_secrets::Purpose;

/// Where mails come in, beside `.eml` files that are dropped into `Inbox/`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct MailIn {
    /// A mailbox that is read.
    pub imap: Option<Imap>,
    /// Where mail servers hand mails in.
    pub lmtp: Option<Lmtp>,
}

/// A mailbox that is read over IMAP; nothing in it is changed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Imap {
    /// The IMAP server.
    pub host: String,
    /// Its port; 993 by default, 143 without `tls`.
    pub port: Option<u16>,
    /// `tls`, `starttls`, or `plain` for a server on this machine.
    #[serde(default = "tls")]
    pub security: SmtpSecurity,
    /// The name to log in with.
    pub username: String,
    /// Name of the secret that holds the password, or with `oauth2` the refresh token (`aiemp-node secrets add NAME --use
    /// mail-in`).
    pub password_secret: String,
    /// The folder whose mails are taken up.
    #[serde(default = "inbox")]
    pub folder: String,
    /// A PEM file with the root of a private certificate authority.
    pub ca_file: Option<PathBuf>,
    /// Where the provider takes mails for sending: `HOST:PORT`, or `none`. There it is tried whether the password could send,
    /// before it is stored. By default the usual places beside `host`.
    pub submission: Option<String>,
    /// Where the provider lets nobody in by password.
    pub oauth2: Option<Oauth2>,
}

/// Where mail servers hand mails in, by LMTP or SMTP. Nothing is passed on.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Lmtp {
    /// Address and port: `127.0.0.1:2424` for a mail server on this machine, `[::]:25` for those of the world.
    pub listen: SocketAddr,
    /// Whose mails are taken; those for anybody else are refused.
    pub recipients: Vec<String>,
    /// The most mails in an hour; the rest is told to come later.
    #[serde(default = "per_hour")]
    pub per_hour: u32,
    /// PEM files: the certificates of this server, its own first, and their key. With both, STARTTLS is offered.
    pub certificate: Option<PathBuf>,
    /// See `certificate`.
    pub key: Option<PathBuf>,
}

fn inbox() -> String {
    "INBOX".to_owned()
}

const fn per_hour() -> u32 {
    1000
}

impl Imap {
    /// What is stored as `password_secret`.
    pub const fn purpose(&self) -> Purpose {
        if self.oauth2.is_some() { Purpose::MailInToken } else { Purpose::MailIn }
    }

    /// What is wrong with it.
    pub fn objection(&self) -> Option<&'static str> {
        let application = self.oauth2.as_ref().and_then(Oauth2::application);
        (application == Some(&self.password_secret)).then_some(
            "`[mail_in.imap] password_secret` and `client_secret` of its oauth2 are one name: each is a secret of its own",
        )
    }

    /// The port in force.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or_else(|| self.security.imap_port())
    }
}

impl Lmtp {
    /// What is wrong with it.
    pub fn objection(&self) -> Option<&'static str> {
        if self.recipients.is_empty() {
            return Some("`[mail_in.lmtp] recipients` is empty: name the addresses whose mails are taken");
        }
        (self.certificate.is_some() != self.key.is_some())
            .then_some("`[mail_in.lmtp]` needs both `certificate` and `key`, or neither")
    }
}
