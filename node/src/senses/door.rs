//! The way into the mesh: one question over the control socket for each thing that came, and what is the matter.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use thiserror::Error;
use tokio::{
    sync::{Notify, Semaphore},
    time::timeout,
};

use crate::{
    home::Home,
    shell::control::{Client, Request, Response, WireArrival, WireTrouble, agent::WireTold, unexpected},
};

/// Questions at once: the control socket has room for other commands beside them.
const AT_ONCE: usize = 4;
/// How often what is the matter is told at least: a mesh that started again knows of nothing.
const TELL_AGAIN: Duration = Duration::from_secs(20);

/// The way into the mesh.
#[derive(Clone, Debug)]
pub(super) struct Door(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    socket: PathBuf,
    turns: Arc<Semaphore>,
    troubles: Mutex<BTreeMap<String, WireTrouble>>,
    changed: Notify,
    starts_again: Notify,
}

/// Why it did not become a task.
#[derive(Debug, Error)]
pub(super) enum NotTaken {
    /// However often it comes.
    #[error("{0}")]
    Refused(String),
    /// For now.
    #[error("{0}")]
    NotNow(String),
}

impl Door {
    pub(super) fn new(home: &Home) -> Self {
        let inner = Inner {
            socket: home.control_socket(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            troubles: Mutex::default(),
            changed: Notify::new(),
            starts_again: Notify::new(),
        };
        Self(Arc::new(inner))
    }

    /// Makes a task of it, which is durable when this returns.
    pub(super) async fn give(&self, arrival: WireArrival) -> Result<String, NotTaken> {
        let answer = self.ask(Request::Arrived(Box::new(arrival))).await?;
        if let Response::Agent(WireTold::Done { path, .. }) = answer {
            return Ok(path);
        }
        if let Response::BadRequest { message } = answer {
            return Err(NotTaken::Refused(message));
        }
        let Response::Agent(WireTold::Refused { why }) = answer else {
            return Err(NotTaken::NotNow(unexpected().to_string()));
        };
        Err(NotTaken::NotNow(why))
    }

    async fn ask(&self, request: Request) -> Result<Response, NotTaken> {
        let not_now = |why: String| NotTaken::NotNow(why);
        let turn = Arc::clone(&self.0.turns).acquire_owned().await.map_err(|error| not_now(error.to_string()))?;
        let socket = self.0.socket.clone();
        let asked = tokio::task::spawn_blocking(move || {
            // As long as the mesh is asked, also where nobody waits for the answer any more.
            let _turn = turn;
            let mut client = Client::connect(&socket)?.ok_or_else(|| anyhow::anyhow!("the mesh does not run"))?;
            client.ask(&request)
        });
        asked.await.map_err(|error| not_now(error.to_string()))?.map_err(|error| not_now(format!("{error:#}")))
    }

    /// Something is the matter with a sense, or nothing any more.
    pub(super) fn tell(&self, sense: &str, trouble: Option<WireTrouble>) {
        let mut troubles = self.0.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match trouble {
            Some(trouble) => troubles.insert(sense.to_owned(), trouble),
            None => troubles.remove(sense),
        };
        let is_new = before.as_ref().map(|trouble| &trouble.what) != troubles.get(sense).map(|trouble| &trouble.what);
        if let Some(WireTrouble { what, .. }) = troubles.get(sense).filter(|_| is_new) {
            tracing::warn!(sense, what, "a sense is not as it should be");
        }
        if is_new {
            self.0.changed.notify_one();
        }
    }

    /// The wall has to be put up anew, for something else is there than when it was.
    pub(super) fn start_again(&self) {
        self.0.starts_again.notify_one();
    }

    pub(super) async fn has_to_start_again(&self) {
        self.0.starts_again.notified().await;
    }

    fn troubles(&self) -> BTreeMap<String, WireTrouble> {
        self.0.troubles.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Tells the mesh what is the matter, for `status`.
pub(super) async fn tell_troubles(door: Door) {
    loop {
        let troubles = door.troubles();
        if let Err(why) = door.ask(Request::Senses { troubles }).await {
            tracing::debug!(%why, "the mesh cannot be told what is the matter");
        }
        timeout(TELL_AGAIN, door.0.changed.notified()).await.ok();
    }
}
