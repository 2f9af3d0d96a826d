//! A mailbox that is read over IMAP.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, PoisonError},
    time::Duration,
};

use aiemp_keys::Secret;
use imap_proto::{AttributeValue, MailboxDatum, Outcome, Response, ResponseCode};
use tokio::time::sleep;

use super::{
    Delivery, Failure, Trouble, blocking,
    position::{self, Position},
};
use crate::{
    config::Imap,
    core::mail::RAW_BYTES_MAX,
    home::Home,
    imap::{Connection, ImapError, Place},
    shell::{
        cloud_secrets::{self, Purpose},
        control::WireTrouble,
    },
    tls,
};

/// How long the server may take for each answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it is waited for news before the wait is renewed: well below what routers forget a silent connection after.
const IDLE_MAX: Duration = Duration::from_secs(5 * 60);
/// How often a server is asked that cannot tell by itself.
const LOOKS: Duration = Duration::from_secs(60);
/// Waits after a failure: doubled from the first to the last.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LAST: Duration = Duration::from_secs(5 * 60);
/// Wait after a login that was refused: providers lock accounts at which it is tried often.
const RETRY_LOGIN: Duration = Duration::from_secs(15 * 60);
/// Mails whose sizes are listed at once.
const LISTED_MAX: usize = 10_000;
/// Bytes that a list of them may have.
const LIST_BYTES_MAX: usize = 64 << 20;
/// Mails that are fetched at once, and their bytes; a larger one comes alone.
const FETCHED_MAX: usize = 64;
const FETCHED_BYTES_MAX: usize = 4 << 20;
/// Of a mail that is too large to be taken up, so much is.
const BEGIN_BYTES: usize = 1 << 20;
/// What an answer has beside the mails themselves.
const AROUND_BYTES: usize = 64 << 10;

/// A mailbox, with what opens it.
#[derive(Debug)]
pub(super) struct Mailbox {
    place: Place,
    username: String,
    password: Secret<String>,
    folder: String,
}

impl Mailbox {
    /// As the settings say, with its password and certificates.
    pub(super) fn of(home: &Home, settings: &Imap) -> Result<Self, String> {
        let password = cloud_secrets::value(home, &settings.password_secret, Purpose::MailIn);
        Ok(Self {
            place: Place {
                host: settings.host.clone(),
                port: settings.port(),
                security: settings.security.of_hand(),
                tls: Arc::new(tls::client_config(settings.ca_file.as_deref())?),
                patience: PATIENCE,
            },
            username: settings.username.clone(),
            password: password.map_err(|error| error.to_string())?,
            folder: settings.folder.clone(),
        })
    }

    /// Stands for the folder of this account.
    fn name(&self) -> String {
        format!("{} {}:{} {}", self.username, self.place.host, self.place.port, self.folder)
    }
}

impl Failure {
    /// The server lets nobody in under this name and password.
    const fn is_login(&self) -> bool {
        matches!(self, Self::Server(ImapError::Refused { .. }))
    }

    fn told(&self, mailbox: &Mailbox) -> WireTrouble {
        let place = &mailbox.place;
        let (what, fix) = match self {
            Self::Server(error @ ImapError::Refused { .. }) => (
                format!("{}:{} refuses {}: {error}", place.host, place.port, mailbox.username),
                "See [mail_in.imap] in config.toml; a new password is stored with `aiemp-node secrets add NAME --use mail-in`. \
                 Then restart the node.",
            ),
            Self::Server(error) => (
                format!("{}:{}: {error}", place.host, place.port),
                "It is tried again. If it stays so, see [mail_in.imap] in config.toml, and the network.",
            ),
            Self::Disk(_) | Self::Away | Self::Full | Self::Note(_) => {
                (self.to_string(), "Mails stay in the mailbox meanwhile. See to the disk; it is tried again.")
            }
        };
        WireTrouble { is_error: true, what: format!("no mails are taken up: {what}"), fix: fix.to_owned() }
    }
}

/// What the task owns.
pub(super) struct Taking {
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) delivery: Delivery,
    /// Where it is noted how far the mailbox is read.
    pub(super) noted: PathBuf,
    pub(super) trouble: Trouble,
}

impl Taking {
    pub(super) async fn run(self) {
        let mut wait = RETRY_FIRST;
        loop {
            let Err(failure) = self.follow(&mut wait).await;
            let told = failure.told(&self.mailbox);
            let before = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).replace(told.clone());
            // Once for as long as it stays so.
            if before.as_ref() != Some(&told) {
                tracing::warn!(what = told.what, fix = told.fix, "mail");
            }
            sleep(if failure.is_login() { RETRY_LOGIN } else { wait }).await;
            wait = (wait * 2).min(RETRY_LAST);
        }
    }

    /// One connection, for as long as it lasts.
    async fn follow(&self, wait: &mut Duration) -> Result<std::convert::Infallible, Failure> {
        let mailbox = &self.mailbox;
        let mut connection = Connection::open(&mailbox.place).await?;
        connection.log_in(&mailbox.username, &mailbox.password).await?;
        let can_idle = connection.can("IDLE").await?;
        let mut validity = None;
        let told = |told: &Response<'_>| {
            if let Response::Data { outcome: Outcome { code: Some(ResponseCode::UidValidity(found)), .. }, .. } = told {
                validity = Some(*found);
            }
        };
        connection.examine(&mailbox.folder, told).await?;
        let validity = validity.ok_or_else(|| ImapError::Protocol("the folder has no UIDVALIDITY".to_owned()))?;
        let mut position = position::read(&self.noted, &mailbox.name(), validity);
        loop {
            let is_more = self.take_up(&mut connection, &mut position, wait).await?;
            *wait = RETRY_FIRST;
            if self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
                tracing::info!("mails are taken up again");
            }
            if is_more {
                continue;
            }
            if can_idle {
                connection.idle(IDLE_MAX).await?;
            } else {
                sleep(LOOKS).await;
            }
        }
    }

    /// Takes up what came since; whether there may be more.
    async fn take_up(
        &self,
        connection: &mut Connection,
        position: &mut Position,
        wait: &mut Duration,
    ) -> Result<bool, Failure> {
        let (mut listed, mut is_news) = (BTreeMap::new(), false);
        let Some(first) = position.uid.checked_add(1) else { return Ok(false) };
        let told = |told: &Response<'_>| {
            // A server that told it here tells it no second time while it is waited for.
            is_news |= matches!(told, Response::MailboxData(MailboxDatum::Exists(_)));
            // "The rest" has one mail at least, be it an old one.
            if let Response::Fetch(_, attributes) = told
                && let (Some(uid), Some(size)) = (uid_of(attributes), size_of(attributes))
                && uid >= first
            {
                listed.insert(uid, size);
                is_news |= listed.len() > LISTED_MAX && listed.pop_last().is_some();
            }
        };
        let command = format!("UID FETCH {first}:* (UID RFC822.SIZE)");
        connection.command_within(LIST_BYTES_MAX, "listing the mails", &command, told).await?;
        let is_more = is_news || !listed.is_empty();
        while let Some((batch, bytes)) = next_batch(&mut listed) {
            let mails = fetch(connection, &batch, bytes).await?;
            self.delivery.deliver(mails).await?;
            position.uid = batch.last().map_or(position.uid, |(uid, _)| *uid);
            let (noted, name, position) = (self.noted.clone(), self.mailbox.name(), *position);
            blocking(move || position::write(&noted, &name, position)).await.map_err(Failure::Note)?;
            // However often it breaks off, it comes further.
            *wait = RETRY_FIRST;
        }
        Ok(is_more)
    }
}

/// Mails by their UIDs, with their sizes, and what they have in all as they are fetched.
fn next_batch(listed: &mut BTreeMap<u32, usize>) -> Option<(Vec<(u32, usize)>, usize)> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while let Some(next) = listed.first_entry() {
        let size = if is_too_large(*next.get()) { BEGIN_BYTES } else { *next.get() };
        let is_other_kind = batch.last().is_some_and(|(_, before)| is_too_large(*before) != is_too_large(*next.get()));
        if !batch.is_empty() && (is_other_kind || batch.len() == FETCHED_MAX || bytes + size > FETCHED_BYTES_MAX) {
            break;
        }
        bytes += size;
        batch.push(next.remove_entry());
    }
    (!batch.is_empty()).then_some((batch, bytes))
}

const fn is_too_large(size: usize) -> bool {
    size > RAW_BYTES_MAX
}

/// Fetches mails; those that were deleted meanwhile do not come. Of one that is too large comes the begin.
async fn fetch(connection: &mut Connection, batch: &[(u32, usize)], bytes: usize) -> Result<Vec<Vec<u8>>, ImapError> {
    let uids: Vec<_> = batch.iter().map(|(uid, _)| uid.to_string()).collect();
    let part = if batch.iter().any(|(_, size)| is_too_large(*size)) {
        format!("BODY.PEEK[]<0.{BEGIN_BYTES}>")
    } else {
        "BODY.PEEK[]".to_owned()
    };
    let mut mails = BTreeMap::new();
    let told = |told: &Response<'_>| {
        if let Response::Fetch(_, attributes) = told
            && let (Some(uid), Some(mail)) = (uid_of(attributes), body_of(attributes))
            && batch.iter().any(|(asked, _)| *asked == uid)
        {
            mails.insert(uid, mail.to_vec());
        }
    };
    // Servers say the size of some mails too small: without the line ends that they add.
    let bytes_max = bytes + bytes / 4 + AROUND_BYTES * batch.len();
    connection
        .command_within(bytes_max, "fetching mails", &format!("UID FETCH {} (UID {part})", uids.join(",")), told)
        .await?;
    Ok(mails.into_values().collect())
}

fn uid_of(attributes: &[AttributeValue<'_>]) -> Option<u32> {
    attributes.iter().find_map(|one| if let AttributeValue::Uid(uid) = one { Some(*uid) } else { None })
}

fn size_of(attributes: &[AttributeValue<'_>]) -> Option<usize> {
    let size =
        |one: &AttributeValue<'_>| if let AttributeValue::Rfc822Size(size) = one { Some(*size as usize) } else { None };
    attributes.iter().find_map(size)
}

fn body_of<'a>(attributes: &'a [AttributeValue<'_>]) -> Option<&'a [u8]> {
    attributes.iter().find_map(|one| {
        if let AttributeValue::BodySection { section: None, data, .. } = one { data.as_deref() } else { None }
    })
}
