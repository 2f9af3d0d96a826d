//! Takes mails up from a mailbox (IMAP), as they come: each becomes a file in `Inbox/`.
//!
//! Nothing in the mailbox is changed. How far it is read is noted once the files are on disk, so a mail may come twice and
//! none is lost; twice the same mail is one task. Where the server cannot be reached, or says no, it is tried again, and
//! `status` says so.

mod position;
pub mod trial;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aiemp_keys::Secret;
use aiemp_protocol::{roster::Role, vault_path::VaultPath};
use imap_proto::{AttributeValue, MailboxDatum, Outcome, Response, ResponseCode};
use tokio::{task::JoinHandle, time::sleep};

use self::position::Position;
use super::{
    cloud_secrets::{self, Purpose},
    control::WireTrouble,
    free_space,
    vault_disk::{DiskError, Intake},
};
use crate::{
    config::Config,
    core::mail::RAW_BYTES_MAX,
    fault::Fault,
    home::Home,
    imap::{Connection, ImapError, Place},
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
/// How often it is looked whether the mesh took the mails from `Inbox/`, before more are put there.
const TAKEN_LOOKS: Duration = Duration::from_millis(10);
/// How long is waited for that. What it holds back for a person stays there.
const TAKEN_WAIT: Duration = Duration::from_secs(2);

/// A mailbox, with what opens it.
#[derive(Debug)]
pub struct Mailbox {
    place: Place,
    username: String,
    password: Secret<String>,
    folder: String,
    floor_megabytes: u64,
}

impl Mailbox {
    /// As the settings say. The password and certificates are read now: behind the mesh's wall they cannot be.
    pub fn of(home: &Home, config: &Config, role: Role) -> Result<Option<Arc<Self>>, Fault> {
        const CODE: &str = "mail_in";
        let Some(settings) = &config.mail_in else { return Ok(None) };
        if role == Role::Local {
            let message = "`[mail_in]` is for a Cloud node: on Local no password lies where mails are read";
            let fix = "Move it to the Cloud node's config.toml, or drop mails as .eml files into Inbox/ here.";
            return Err(Fault::refused(CODE, message, fix));
        }
        let refused = |why: String| Fault::refused(CODE, why, "`[mail_in]` in config.toml names it.");
        let password = cloud_secrets::value(home, &settings.password_secret, Purpose::MailIn);
        let password = password.map_err(|error| refused(error.to_string()))?;
        let tls = tls::client_config(settings.ca_file.as_deref()).map_err(refused)?;
        Ok(Some(Arc::new(Self {
            place: Place {
                host: settings.host.clone(),
                port: settings.port(),
                security: settings.security.of_hand(),
                tls: Arc::new(tls),
                patience: PATIENCE,
            },
            username: settings.username.clone(),
            password,
            folder: settings.folder.clone(),
            floor_megabytes: config.admission.disk_floor_megabytes,
        })))
    }

    /// Stands for the folder of this account.
    fn name(&self) -> String {
        format!("{} {}:{} {}", self.username, self.place.host, self.place.port, self.folder)
    }
}

/// What is the matter, while something is.
type Trouble = Arc<Mutex<Option<WireTrouble>>>;

/// Takes mails up until it is dropped.
#[derive(Debug)]
pub struct MailIn {
    trouble: Trouble,
    task: JoinHandle<()>,
}

impl MailIn {
    /// Begins to take up the mails of a mailbox into the vault.
    pub fn spawn(home: &Home, vault: PathBuf, mailbox: Arc<Mailbox>) -> Self {
        let trouble = Trouble::default();
        let taking = Taking { mailbox, vault, noted: home.mail_in(), trouble: Arc::clone(&trouble) };
        Self { trouble, task: tokio::spawn(taking.run()) }
    }

    /// What is the matter.
    pub fn trouble(&self) -> Option<WireTrouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for MailIn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Why no mails are taken up for now.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Server(#[from] ImapError),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("the vault's folder is not in its place")]
    Away,
    #[error("less is free on the disk than is left free")]
    Full,
    #[error("cannot note how far the mailbox is read: {0}")]
    Note(String),
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
                "See [mail_in] in config.toml; a new password is stored with `aiemp-node secrets add NAME --use mail-in`. \
                 Then restart the node.",
            ),
            Self::Server(error) => (
                format!("{}:{}: {error}", place.host, place.port),
                "It is tried again. If it stays so, see [mail_in] in config.toml, and the network.",
            ),
            Self::Disk(_) | Self::Away | Self::Full | Self::Note(_) => {
                (self.to_string(), "Mails stay in the mailbox meanwhile. See to the disk; it is tried again.")
            }
        };
        WireTrouble { is_error: true, what: format!("no mails are taken up: {what}"), fix: fix.to_owned() }
    }
}

/// What the task owns.
struct Taking {
    mailbox: Arc<Mailbox>,
    vault: PathBuf,
    /// Where it is noted how far the mailbox is read.
    noted: PathBuf,
    trouble: Trouble,
}

impl Taking {
    async fn run(self) {
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
        let vault = self.vault.clone();
        let intake = Arc::new(blocking(move || Intake::open(&vault)).await?);
        loop {
            let is_more = self.take_up(&mut connection, &intake, &mut position, wait).await?;
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
        intake: &Arc<Intake>,
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
            self.deliver(intake, mails).await?;
            position.uid = batch.last().map_or(position.uid, |(uid, _)| *uid);
            let (noted, name, position) = (self.noted.clone(), self.mailbox.name(), *position);
            blocking(move || position::write(&noted, &name, position)).await.map_err(Failure::Note)?;
            // However often it breaks off, it comes further.
            *wait = RETRY_FIRST;
        }
        Ok(is_more)
    }

    /// Into `Inbox/`, and then waits until they are taken from there: what waits in memory is bounded by that.
    async fn deliver(&self, intake: &Arc<Intake>, mails: Vec<Vec<u8>>) -> Result<(), Failure> {
        let (into, vault, floor) = (Arc::clone(intake), self.vault.clone(), self.mailbox.floor_megabytes);
        let put = blocking(move || {
            if !into.is_in_place() {
                return Err(Failure::Away);
            }
            let bytes = mails.iter().map(Vec::len).sum::<usize>() as u64;
            if !free_space::has_room(&vault, bytes, floor).unwrap_or(true) {
                return Err(Failure::Full);
            }
            Ok(into.put(mails.iter().map(Vec::as_slice))?)
        });
        let mut put: Vec<VaultPath> = put.await?;
        for _ in 0..TAKEN_WAIT.as_millis() / TAKEN_LOOKS.as_millis() {
            put.retain(|path| intake.holds(path));
            if put.is_empty() {
                break;
            }
            sleep(TAKEN_LOOKS).await;
        }
        Ok(())
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

/// Runs what blocks on a thread that may.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}
