//! `[mail_in]`: the mailbox from which a Cloud node takes mails up.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::SmtpSecurity;

/// A mailbox that is read over IMAP; nothing in it is changed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MailIn {
    /// The IMAP server.
    pub host: String,
    /// Its port; 993 by default, 143 without `tls`.
    pub port: Option<u16>,
    /// `tls`, `starttls`, or `plain` for a server on this machine.
    #[serde(default = "tls")]
    pub security: SmtpSecurity,
    /// The name to log in with.
    pub username: String,
    /// Name of the secret that holds the password (`aiemp-node secrets add NAME --use mail-in`).
    pub password_secret: String,
    /// The folder whose mails are taken up.
    #[serde(default = "inbox")]
    pub folder: String,
    /// A PEM file with the root of a private certificate authority.
    pub ca_file: Option<PathBuf>,
    /// Where the provider takes mails for sending: `HOST:PORT`, or `none`. There it is tried whether the password could send,
    /// before it is stored. By default the usual places beside `host`.
    pub submission: Option<String>,
}

const fn tls() -> SmtpSecurity {
    SmtpSecurity::Tls
}

fn inbox() -> String {
    "INBOX".to_owned()
}

impl MailIn {
    /// The port in force.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or_else(|| self.security.imap_port())
    }
}
