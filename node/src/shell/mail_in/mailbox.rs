//! A mailbox that is read over IMAP.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    path::PathBuf,
    sync::{Arc, PoisonError},
    time::Duration,
};

use aiemp_keys::Secret;
use aiemp_protocol::ids::ContentHash;
use tokio::time::{Instant, sleep};

use super::{
    Delivery, Failure, Trouble, blocking,
    position::{self, Position},
};
use crate::{
    config::Imap,
    core::{TroubleClass, mail::RAW_BYTES_MAX},
    home::Home,
    imap::{Answer, Connection, Fetched, IDLE, ImapError, LOGIN, Place, code},
    login::Credential,
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
/// A connection that lasted so long was a good one.
const LASTED: Duration = Duration::from_secs(5 * 60);
/// How often a mail that the server does not give out is tried before a note stands for it: some four minutes.
const TRIES_MAX: u32 = 8;
/// Pause where the server says again and again that something changed, and nothing did.
const NEWS_PAUSE: Duration = Duration::from_secs(1);
/// Wait after a login that was refused: providers lock accounts at which it is tried often.
const RETRY_LOGIN: Duration = Duration::from_secs(15 * 60);
/// Mails whose sizes are listed at once.
const LISTED_MAX: usize = 10_000;
/// Bytes that a list of them may have.
const LIST_BYTES_MAX: usize = 64 << 20;
/// Mails that are fetched at once, and their bytes as the server tells them; a larger one comes alone.
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
    credential: Credential,
    folder: String,
}

impl Mailbox {
    /// As the settings say, with its password and certificates.
    pub(super) fn of(home: &Home, settings: &Imap) -> Result<Self, String> {
        let password = cloud_secrets::value(home, &settings.password_secret, settings.purpose());
        let password = password.map_err(|error| error.to_string())?;
        Ok(Self {
            place: Place {
                host: settings.host.clone(),
                port: settings.port(),
                security: settings.security.of_hand(),
                tls: Arc::new(tls::client_config(settings.ca_file.as_deref())?),
                patience: PATIENCE,
            },
            username: settings.username.clone(),
            credential: credential(home, settings, password)?,
            folder: settings.folder.clone(),
        })
    }

    /// A connection that is let in.
    async fn open(&self) -> Result<Connection, ImapError> {
        let mut connection = Connection::open(&self.place).await?;
        let shown = self.credential.shown().await?;
        let logged_in = connection.log_in(&self.username, &shown).await;
        if matches!(logged_in, Err(ImapError::Refused { .. })) {
            self.credential.forget();
        }
        logged_in.map(|()| connection)
    }

    /// Stands for the folder of this account.
    fn name(&self) -> String {
        format!("{} {}:{} {}", self.username, self.place.host, self.place.port, self.folder)
    }
}

/// What opens a mailbox, of what is stored for it.
pub(super) fn credential(home: &Home, settings: &Imap, stored: Secret<String>) -> Result<Credential, String> {
    Credential::of(stored, settings.oauth2.as_ref(), settings.ca_file.as_deref(), |name| {
        cloud_secrets::value(home, name, Purpose::MailInApplication).map_err(|error| error.to_string())
    })
}

impl Failure {
    /// The server lets nobody in under this name and password.
    fn is_login(&self) -> bool {
        matches!(self, Self::Server(ImapError::Refused { step: LOGIN, .. }))
    }

    fn class(&self) -> TroubleClass {
        match self {
            Self::Server(ImapError::Refused { step: LOGIN, .. }) => TroubleClass::Authentication,
            Self::Server(_) => TroubleClass::Transient,
            Self::Disk(_) | Self::Away | Self::Full | Self::Note(_) => TroubleClass::System,
        }
    }

    fn told(&self, mailbox: &Mailbox) -> WireTrouble {
        let place = &mailbox.place;
        let (what, fix) = match self {
            Self::Server(error @ ImapError::Refused { step: LOGIN, .. }) => (
                format!("{}:{}, as {}: {error}", place.host, place.port, mailbox.username),
                "See [mail_in.imap] in config.toml; a new password, refresh token or secret of the application is stored with \
                 `aiemp-node secrets add NAME --use mail-in`. Then restart the node.",
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

/// Mails that the server did not give out.
#[derive(Clone, Copy, Debug, Default)]
struct Tries {
    /// Up to this one each is fetched alone, to tell which it is.
    until: u32,
    /// The first of those that were tried last.
    uid: u32,
    /// How often.
    count: u32,
}

impl Tries {
    /// Notes that these were tried in vain. Whether a note is to stand for them.
    fn again(&mut self, begin: u32, end: u32) -> bool {
        let count = if self.uid == begin { self.count + 1 } else { 1 };
        *self = Self { until: self.until.max(end), uid: begin, count };
        begin == end && count > TRIES_MAX
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
        let (mut wait, mut tries) = (RETRY_FIRST, Tries::default());
        loop {
            let begun = Instant::now();
            let Err(failure) = self.follow(&mut wait, &mut tries).await;
            if begun.elapsed() >= LASTED {
                wait = RETRY_FIRST;
            }
            let told = failure.told(&self.mailbox);
            let now = (failure.class(), told.clone());
            let before = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).replace(now);
            // Once for as long as it stays so.
            if before.as_ref().map(|(_, before)| before) != Some(&told) {
                tracing::warn!(what = told.what, fix = told.fix, "mail");
            }
            sleep(if failure.is_login() { RETRY_LOGIN } else { wait }).await;
            wait = (wait * 2).min(RETRY_LAST);
        }
    }

    /// One connection, for as long as it lasts.
    async fn follow(&self, wait: &mut Duration, tries: &mut Tries) -> Result<Infallible, Failure> {
        let mailbox = &self.mailbox;
        let mut connection = mailbox.open().await?;
        let mut can_idle = connection.can("IDLE").await?;
        let mut validity = None;
        let told = |told: &Answer<'_>| {
            if let Answer::Status { said, .. } = told {
                validity = code(said, "UIDVALIDITY").or(validity);
            }
        };
        connection.examine(&mailbox.folder, told).await?;
        let validity = validity.ok_or_else(|| ImapError::Protocol("the folder has no UIDVALIDITY".to_owned()))?;
        let mut position = position::read(&self.noted, &mailbox.name(), validity);
        loop {
            let before = position;
            let is_more = self.take_up(&mut connection, &mut position, tries).await?;
            if position != before {
                // However often it breaks off, it comes further.
                *wait = RETRY_FIRST;
            }
            if self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
                tracing::info!("mails are taken up again");
            }
            if is_more {
                if position == before {
                    sleep(NEWS_PAUSE).await;
                }
                continue;
            }
            if can_idle {
                let begun = Instant::now();
                match connection.idle(IDLE_MAX).await {
                    // It said that it can, and does not.
                    Err(ImapError::Refused { step: IDLE, .. }) => can_idle = false,
                    waited => waited?,
                }
                if begun.elapsed() < NEWS_PAUSE {
                    sleep(NEWS_PAUSE).await;
                }
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
        tries: &mut Tries,
    ) -> Result<bool, Failure> {
        let first = position.uid.saturating_add(1);
        let (mut listed, is_news) = list(connection, &format!("{first}:*"), first).await?;
        let is_more = is_news || !listed.is_empty();
        loop {
            let is_alone = listed.first_key_value().is_some_and(|(uid, _)| *uid <= tries.until);
            let Some(batch) = next_batch(&mut listed, if is_alone { 1 } else { FETCHED_MAX }) else {
                return Ok(is_more);
            };
            let Some((begin, end)) = batch.first().zip(batch.last()).map(|(first, last)| (first.0, last.0)) else {
                return Ok(is_more);
            };
            let mails = match self.fetch(connection, &batch).await {
                Ok(mails) => mails,
                Err(error @ (ImapError::Connection(_) | ImapError::Settings(_))) => return Err(error.into()),
                Err(_) if tries.again(begin, end) => vec![stub(&self.mailbox, begin)],
                Err(ImapError::Refused { .. }) if begin != end => {
                    listed.extend(batch);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            self.delivery.deliver(mails).await?;
            position.uid = end;
            let (noted, name, position) = (self.noted.clone(), self.mailbox.name(), *position);
            blocking(move || position::write(&noted, &name, position)).await.map_err(Failure::Note)?;
        }
    }

    /// Fetches mails; what was deleted meanwhile does not come.
    async fn fetch(&self, connection: &mut Connection, batch: &[(u32, usize)]) -> Result<Vec<Vec<u8>>, ImapError> {
        let mails = fetch(connection, batch).await?;
        for (uid, _) in batch.iter().filter(|(uid, _)| !mails.contains_key(uid)) {
            let (there, _) = list(connection, &uid.to_string(), *uid).await?;
            if there.contains_key(uid) {
                return Err(ImapError::Protocol(format!("it lists the mail {uid} and does not give it out")));
            }
        }
        Ok(mails.into_values().collect())
    }
}

/// Stands for a mail that the server does not give out, so that the person hears of it.
fn stub(mailbox: &Mailbox, uid: u32) -> Vec<u8> {
    let place = format!("{} at {}", mailbox.folder, mailbox.place.host);
    format!(
        "From: aiemp-node\r\nSubject: A mail that cannot be read\r\nMessage-ID: <{uid}.{}@mailbox.invalid>\r\n\r\nThe server does \
         not give out the mail with the number {uid} in {place}. Look at it there with a mail program.\r\n",
        ContentHash::of(mailbox.name().as_bytes())
    )
    .into_bytes()
}

/// Mails with their sizes, from a number on, and whether the server told that there are more.
async fn list(connection: &mut Connection, uids: &str, first: u32) -> Result<(BTreeMap<u32, usize>, bool), ImapError> {
    let (mut listed, mut is_news) = (BTreeMap::new(), false);
    let told = |told: &Answer<'_>| {
        // A server that told it here tells it no second time while it is waited for.
        is_news |= *told == Answer::Exists;
        // "The rest" has one mail at least, be it an old one. The last number of all is none that a mail can have.
        if let Answer::Mail(Fetched { uid: Some(uid), size, .. }) = told
            && (first..u32::MAX).contains(uid)
        {
            listed.insert(*uid, size.unwrap_or(BEGIN_BYTES));
            is_news |= listed.len() > LISTED_MAX && listed.pop_last().is_some();
        }
    };
    let command = format!("UID FETCH {uids} (UID RFC822.SIZE)");
    connection.command_within(LIST_BYTES_MAX, "listing the mails", &command, told).await?;
    Ok((listed, is_news))
}

/// The next mails by their UIDs, with their sizes.
fn next_batch(listed: &mut BTreeMap<u32, usize>, mails_max: usize) -> Option<Vec<(u32, usize)>> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while let Some(next) = listed.first_entry() {
        let size = *next.get();
        let is_alone = batch.last().is_some_and(|(_, before)| is_too_large(*before)) || is_too_large(size);
        if !batch.is_empty() && (is_alone || batch.len() == mails_max || bytes + size > FETCHED_BYTES_MAX) {
            break;
        }
        bytes += size;
        batch.push(next.remove_entry());
    }
    (!batch.is_empty()).then_some(batch)
}

const fn is_too_large(size: usize) -> bool {
    size > RAW_BYTES_MAX
}

/// Fetches mails. Of one that is too large comes the begin, and of none more than is taken up.
async fn fetch(connection: &mut Connection, batch: &[(u32, usize)]) -> Result<BTreeMap<u32, Vec<u8>>, ImapError> {
    let uids: Vec<_> = batch.iter().map(|(uid, _)| uid.to_string()).collect();
    let each = if batch.iter().any(|(_, size)| is_too_large(*size)) { BEGIN_BYTES } else { RAW_BYTES_MAX };
    let mut mails = BTreeMap::new();
    let told = |told: &Answer<'_>| {
        if let Answer::Mail(Fetched { uid: Some(uid), body: Some(body), .. }) = told
            && batch.iter().any(|(asked, _)| asked == uid)
        {
            mails.insert(*uid, body[..body.len().min(RAW_BYTES_MAX)].to_vec());
        }
    };
    // Some servers estimate sizes. One mail alone may have any that is taken up.
    let estimated = batch.iter().map(|(_, size)| size * 2 + AROUND_BYTES).sum();
    let bytes_max = if batch.len() == 1 { RAW_BYTES_MAX + AROUND_BYTES } else { estimated };
    let command = format!("UID FETCH {} (UID BODY.PEEK[]<0.{each}>)", uids.join(","));
    connection.command_within(bytes_max, "fetching mails", &command, told).await?;
    Ok(mails)
}

#[cfg(test)]
mod tests;
