//! The one writer: a thread that owns the store.
//!
//! It takes whatever waits in its channel as one batch, commits the batch's writes in one transaction, and then
//! answers in the order of the commands; a read therefore sees every write before it (and may see later ones). Answers
//! that nobody has room for are owed while commands are still taken, however many, so a loop that sends commands from
//! where it receives answers does not lock up. What is owed is read only when there is room for it: until then it
//! takes a few words of memory.

use std::{
    collections::{BTreeSet, VecDeque},
    thread,
    time::{Duration, Instant},
};

use aiemp_crdt::vault;
use aiemp_keys::NodeId;
use aiemp_protocol::{
    entry::ContentRef,
    ids::{ContentHash, LogId},
    replication::{self, Missing, Record},
    time::Timestamp,
};
use tokio::{
    runtime,
    sync::{mpsc, oneshot},
};

use super::{
    Store, Write,
    error::{Damage, StoreError},
    handle::{Command, StoreEvent, StoreHandle},
};

/// Commands that wait: some times what the machines put out at once, so that a commit gathers many.
const COMMANDS_MAX: usize = 1024;
/// How long projections and stamps may wait for company: losing one costs a comparison at the next start, a commit an fsync.
const PROJECTION_WAIT: Duration = Duration::from_millis(200);
/// Payloads that are forgotten in one step: whoever has a command waits no longer than that takes.
const FORGOTTEN_AT_ONCE: usize = 256;

/// Starts the store's thread.
///
/// It stops at the first failure, of a commit or of a read, after saying so: a failed commit is never tried again,
/// for what it left on disk is known only after opening the file anew.
pub fn spawn(store: Store, events: mpsc::Sender<StoreEvent>) -> Result<StoreHandle, StoreError> {
    let (handle, commands) = mpsc::channel(COMMANDS_MAX);
    let actor = Actor {
        store,
        commands,
        events,
        writes: Vec::new(),
        commit_by: None,
        owed: VecDeque::new(),
        to_forget: BTreeSet::new(),
        has_room: true,
    };
    thread::Builder::new().name("store".into()).spawn(|| actor.run()).map_err(StoreError::Thread)?;
    Ok(StoreHandle(handle))
}

struct Actor {
    store: Store,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<StoreEvent>,
    /// Not durable yet.
    writes: Vec<Write>,
    /// When projections have waited long enough.
    commit_by: Option<Instant>,
    /// Answers for which there was no room; what they tell of is durable.
    owed: VecDeque<Owed>,
    /// Payloads to be forgotten when there is nothing else to do.
    to_forget: BTreeSet<ContentHash>,
    /// Whether there may be free room to give back then.
    has_room: bool,
}

/// What is owed for a command once its batch is durable.
enum Owed {
    Persisted(replication::EffectId),
    Entries { effect: replication::EffectId, log: LogId, from_seq: u64, count: u64 },
    Payload { effect: replication::EffectId, hash: ContentHash, shared_only: bool },
    Contents { effect: vault::EffectId, base: ContentHash, changes: Vec<ContentRef>, shared_only: bool },
    Queue { peer: NodeId, now: Timestamp },
    Lost(Vec<Missing>),
}

/// What one batch of commands asks for.
#[derive(Default)]
struct Batch {
    urgent: bool,
    owed: Vec<Owed>,
    flushes: Vec<oneshot::Sender<()>>,
    forget: Option<(BTreeSet<ContentHash>, BTreeSet<ContentHash>)>,
}

/// Why the actor woke up.
enum Woken {
    Command(Box<Command>),
    /// There is room for an answer, or nobody listens any more.
    Room(Option<mpsc::OwnedPermit<StoreEvent>>),
    Due,
    /// Nothing else is to be done.
    Idle,
    Dropped,
}

impl Actor {
    fn run(mut self) {
        match runtime::Builder::new_current_thread().enable_time().build() {
            Ok(runtime) => runtime.block_on(async {
                if let Err(error) = self.serve().await {
                    self.fail(error).await;
                }
            }),
            // Whoever is gone already needs not be told.
            Err(error) => self.events.blocking_send(StoreEvent::Failed(StoreError::Thread(error))).unwrap_or(()),
        }
    }

    async fn serve(&mut self) -> Result<(), StoreError> {
        loop {
            match self.wake().await {
                Woken::Room(room) => self.answer_next(room)?,
                Woken::Command(command) => self.batch(*command)?,
                Woken::Due => self.commit()?,
                Woken::Idle => self.forget_some()?,
                Woken::Dropped => break,
            }
        }
        self.commit()?;
        while !self.owed.is_empty() {
            let room = self.events.clone().reserve_owned().await;
            self.answer_next(room.ok())?;
        }
        Ok(())
    }

    async fn wake(&mut self) -> Woken {
        let due = self.commit_by.unwrap_or_else(Instant::now);
        let has_leisure = self.writes.is_empty() && (self.has_room || !self.to_forget.is_empty());
        tokio::select! {
            biased;
            room = self.events.clone().reserve_owned(), if !self.owed.is_empty() => Woken::Room(room.ok()),
            () = tokio::time::sleep_until(due.into()), if self.commit_by.is_some() => Woken::Due,
            command = self.commands.recv() => command.map_or(Woken::Dropped, |command| Woken::Command(Box::new(command))),
            () = std::future::ready(()), if has_leisure => Woken::Idle,
        }
    }

    /// Takes the command and all that wait behind it, and commits.
    fn batch(&mut self, first: Command) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        self.take(first, &mut batch);
        // No more than the channel holds: a busy sender must not put off the commit for ever.
        for _ in 1..COMMANDS_MAX {
            let Ok(command) = self.commands.try_recv() else { break };
            self.take(command, &mut batch);
        }
        if batch.urgent {
            self.commit()?;
        } else if !self.writes.is_empty() && self.commit_by.is_none() {
            self.commit_by = Some(Instant::now() + PROJECTION_WAIT);
        }
        self.owed.extend(batch.owed);
        if let Some((gone, unwanted)) = batch.forget {
            self.give_up(&gone, &unwanted)?;
        }
        for done in batch.flushes {
            // Whoever asked may have given up waiting.
            done.send(()).unwrap_or(());
        }
        Ok(())
    }

    fn take(&mut self, command: Command, batch: &mut Batch) {
        match command {
            Command::Persist(effect, record) => {
                batch.urgent = true;
                batch.owed.push(Owed::Persisted(effect));
                self.keep_named(&record);
                self.writes.push(Write::Record(record));
            }
            Command::Write(write) => {
                batch.urgent |= !matches!(write, Write::Projection { .. } | Write::Stamps(_));
                self.writes.push(write);
            }
            Command::ReadEntries { effect, log, from_seq, count } => {
                batch.owed.push(Owed::Entries { effect, log, from_seq, count });
            }
            Command::ReadPayload { effect, hash, shared_only } => {
                batch.owed.push(Owed::Payload { effect, hash, shared_only });
            }
            Command::Load { effect, base, changes, shared_only } => {
                batch.owed.push(Owed::Contents { effect, base, changes, shared_only });
            }
            Command::ReadQueue { peer, now } => batch.owed.push(Owed::Queue { peer, now }),
            Command::Forget { gone, unwanted } => {
                batch.urgent = true;
                self.to_forget.clone_from(&gone);
                batch.forget = Some((gone, unwanted));
            }
            Command::Flush(done) => {
                batch.urgent = true;
                batch.flushes.push(done);
            }
        }
    }

    /// What is named since it was decided what is to be forgotten is not.
    fn keep_named(&mut self, record: &Record) {
        match record {
            Record::Entry { entry, .. } => entry.carried().for_each(|carried| {
                self.to_forget.remove(&carried.named.hash);
            }),
            Record::Payload(named, _) => drop(self.to_forget.remove(&named.hash)),
            Record::Frozen { .. } | Record::Roster(_) => {}
        }
    }

    /// What of it is missing is not asked for any more; what was forgotten before and is not named now is needed again.
    fn give_up(&mut self, gone: &BTreeSet<ContentHash>, unwanted: &BTreeSet<ContentHash>) -> Result<(), StoreError> {
        self.store.give_up_missing(unwanted)?;
        let again = self.store.need_again(|hash| gone.contains(&hash) || unwanted.contains(&hash))?;
        if !again.is_empty() {
            self.owed.push_back(Owed::Lost(again));
        }
        Ok(())
    }

    fn forget_some(&mut self) -> Result<(), StoreError> {
        if self.to_forget.is_empty() {
            self.has_room = self.store.give_room_back()?;
            return Ok(());
        }
        let some: Vec<_> = std::iter::from_fn(|| self.to_forget.pop_first()).take(FORGOTTEN_AT_ONCE).collect();
        self.has_room = true;
        self.store.forget(&some)
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        self.commit_by = None;
        let writes = std::mem::take(&mut self.writes);
        tracing::trace!(writes = writes.len(), "commit");
        self.store.persist(&writes)
    }

    fn answer_next(&mut self, room: Option<mpsc::OwnedPermit<StoreEvent>>) -> Result<(), StoreError> {
        let Some(room) = room else {
            // What is handed over is still made durable.
            self.owed.clear();
            return Ok(());
        };
        let Some(owed) = self.owed.pop_front() else { return Ok(()) };
        let event = loop {
            match self.answer(&owed) {
                Err(StoreError::Corrupt(Damage::Payload(hash))) => self.lose(hash)?,
                answered => break answered?,
            }
        };
        if let (Owed::Contents { base, changes, .. }, StoreEvent::Loaded(_, found)) = (&owed, &event) {
            self.lose_unfound(*base, changes, found)?;
        }
        drop(room.send(event));
        Ok(())
    }

    /// A payload that is damaged is as one that never came.
    fn lose(&mut self, hash: ContentHash) -> Result<(), StoreError> {
        let lost = self.store.lose_payload(hash)?;
        if !lost.is_empty() {
            self.owed.push_front(Owed::Lost(lost));
        }
        Ok(())
    }

    /// What is neither there nor known to be missing, the index of the payloads has lost.
    fn lose_unfound(
        &mut self,
        base: ContentHash,
        changes: &[ContentRef],
        found: &[Option<Vec<u8>>],
    ) -> Result<(), StoreError> {
        let named = std::iter::once(base).chain(changes.iter().map(|change| change.hash));
        for (hash, _) in named.zip(found).filter(|(_, found)| found.is_none()) {
            if !self.store.may_be_absent(hash)? {
                self.lose(hash)?;
            }
        }
        Ok(())
    }

    fn answer(&self, owed: &Owed) -> Result<StoreEvent, StoreError> {
        Ok(match owed {
            Owed::Persisted(effect) => StoreEvent::Persisted(*effect),
            Owed::Entries { effect, log, from_seq, count } => {
                StoreEvent::EntriesRead(*effect, self.store.read_entries(*log, *from_seq, *count)?)
            }
            Owed::Payload { effect, hash, shared_only } => {
                StoreEvent::PayloadRead(*effect, self.store.read_payload(*hash, *shared_only)?)
            }
            Owed::Contents { effect, base, changes, shared_only } => {
                let base = std::iter::once_with(|| self.store.read_payload(*base, *shared_only));
                let changes = changes.iter().map(|named| self.store.read_change(*named, *shared_only));
                StoreEvent::Loaded(*effect, base.chain(changes).collect::<Result<_, _>>()?)
            }
            Owed::Queue { peer, now } => StoreEvent::QueueRead(*peer, self.store.read_queue(*peer, *now)?),
            Owed::Lost(missing) => StoreEvent::PayloadsLost(missing.clone()),
        })
    }

    async fn fail(&mut self, error: StoreError) {
        tracing::error!(%error, "the store stops");
        self.commands.close();
        // Whoever waits for a flush must learn of it even if there is no room for the event.
        while self.commands.try_recv().is_ok() {}
        self.events.send(StoreEvent::Failed(error)).await.unwrap_or(());
    }
}
