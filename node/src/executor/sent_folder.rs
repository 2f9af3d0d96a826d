//! Looks into the folder in which a mail server keeps what was sent, for the Message-ID of one mail.
//!
//! It reads (EXAMINE) and changes nothing. The server is as protected as the settings say and never less.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::time::timeout;

use super::smtp::Security;
use crate::{
    core::mail::inert,
    imap::{Answer, Connection, ImapError, Place, quoted},
    login::Credential,
    tls,
};

/// Words of the server that are kept.
const REASON_BYTES_MAX: usize = 300;

/// Where to look, and as whom.
#[derive(Debug)]
pub(super) struct SentFolder {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) security: Security,
    pub(super) username: String,
    pub(super) credential: Credential,
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

    async fn look(&self, message_id: &str) -> Result<bool, ImapError> {
        const STEP: &str = "looking for the mail";
        let shown = self.credential.shown().await?;
        let mut connection = Connection::open(&self.place()?).await?;
        connection.log_in(&self.username, &shown).await?;
        connection.examine(&self.folder, |_| {}).await?;
        let named = quoted(&format!("<{message_id}>")).map_err(|said| ImapError::Refused { step: STEP, said })?;
        let mut is_there = false;
        let told = |told: &Answer<'_>| is_there |= matches!(told, Answer::Found(found) if !found.is_empty());
        connection.command(STEP, &format!("UID SEARCH HEADER Message-ID {named}"), told).await?;
        connection.log_out().await;
        Ok(is_there)
    }

    fn place(&self) -> Result<Place, ImapError> {
        Ok(Place {
            host: self.host.clone(),
            port: self.port,
            security: self.security,
            tls: Arc::new(tls::client_config(self.ca_file.as_deref()).map_err(ImapError::Settings)?),
            patience: self.timeout,
        })
    }
}

#[cfg(test)]
mod tests;
