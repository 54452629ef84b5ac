//! The writer thread: takes all changes that wait, decides them one after the other, writes what follows as one
//! synced batch, and only then answers.
//!
//! ```text
//! commit ─► queue ─► group ─► decide each against database + group so far ─► one batch, synced ─► answer each
//!                                                                                 │ fails
//!                                                                                 ▼
//!                     database closed and opened again ◄── room? ◄── answers the queue at once meanwhile
//!                     (its log replayed): the group's number is there, or it is not: the outcome is known
//! ```
//!
//! RocksDB stops taking writes after one failed. When the disk was full it starts again by itself, within five seconds of
//! there being room, but it does not say whether the record that failed could still be replayed after a crash. Opening it
//! again settles that at once, and works after every other error, too; what is recovered is written to a new file and
//! synced, so that even after a failed sync nothing is acknowledged that only the page cache holds.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use ::rocksdb::{DB, WriteBatch};
use tokio::sync::{
    mpsc::{self, error::TryRecvError},
    oneshot,
};

use super::{
    definitions, keys,
    open::{Database, Reach, read_error, read_options},
    read_entry, record, tasks, usage,
};
use crate::{
    image::{Allowance, Change, Entry, ImageId},
    metadata::{MetadataError, MetadataErrorKind},
};

/// Changes that wait at most; further commits wait to be let in.
pub(super) const QUEUE: usize = 256;
/// A group is closed when it has this many changes or bytes: the first of it waits for the last.
const GROUP_CHANGES: usize = 256;
const GROUP_BYTES: usize = 4 << 20;

/// How long a database that does not work is left alone.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long a commit waits for its refusal meanwhile.
const TICK: Duration = Duration::from_millis(10);

#[allow(clippy::large_enum_variant)] // Nearly all are commits.
pub(super) enum Message {
    Commit(Request),
    Define(definitions::Request),
    Task(tasks::Request),
    /// Answered when everything before it is done and the database is closed.
    Close(oneshot::Sender<()>),
}

pub(super) struct Request {
    pub(super) change: Change,
    pub(super) allowance: Allowance,
    pub(super) reply: oneshot::Sender<Answer>,
}

type Answer = Result<Entry, MetadataError>;

pub(super) struct Writer {
    database: Arc<Database>,
    queue: mpsc::Receiver<Message>,
    /// The number of the last group that was tried.
    group: u64,
}

/// What was decided of a group, before it is written.
#[derive(Default)]
struct Group {
    answers: Vec<(oneshot::Sender<Answer>, Answer)>,
    batch: WriteBatch,
    /// What the group leaves under the ids it changes.
    entries: HashMap<ImageId, Entry>,
    usages: usage::Pending,
    definitions: definitions::Pending,
    definition_answers: Vec<(oneshot::Sender<definitions::Answer>, definitions::Answer)>,
    task_answers: Vec<(oneshot::Sender<tasks::Answer>, tasks::Answer)>,
}

impl Writer {
    /// # Errors
    /// The database cannot be read.
    pub(super) fn new(
        database: Arc<Database>,
        queue: mpsc::Receiver<Message>,
    ) -> Result<Self, MetadataError> {
        let group = database.with(|db| {
            let group = last_group(db)?;
            usage::count_if_stale(db, group)?;
            Ok(group)
        })?;
        Ok(Self {
            database,
            queue,
            group,
        })
    }

    /// Runs until all handles are gone, or one asked to close.
    pub(super) fn run(mut self) {
        let mut closing = None;
        while closing.is_none()
            && let Some(message) = self.queue.blocking_recv()
        {
            closing = self.turn(message);
        }
        self.queue.close();
        self.refuse_waiting(MetadataErrorKind::Unavailable);
        self.database.close();
        if let Some(done) = closing {
            let _ = done.send(());
        }
    }

    /// Commits one group that begins with the message; gives back a request to close.
    fn turn(&mut self, first: Message) -> Option<oneshot::Sender<()>> {
        let mut group = Group::default();
        let mut next = Some(first);
        let mut closing = None;
        let database = Arc::clone(&self.database);
        let failure = database.with(|db| {
            while let Some(message) = next.take() {
                match message {
                    Message::Close(done) => closing = Some(done),
                    Message::Commit(request) => {
                        group.decide(db, request);
                        next = self.next_for(&group);
                    }
                    Message::Define(request) => {
                        group.define(db, request);
                        next = self.next_for(&group);
                    }
                    Message::Task(request) => {
                        let answer = request.change.add(&mut group.batch);
                        group.task_answers.push((request.reply, answer));
                        next = self.next_for(&group);
                    }
                }
            }
            Ok(self.write(db, &mut group).err())
        });
        match failure {
            Ok(None) => group.answer(),
            Ok(Some(error)) => closing = self.settle(group, &error, closing),
            // The database is open whenever a turn begins.
            Err(_) => group.fail(MetadataErrorKind::Unavailable, MetadataErrorKind::Unavailable),
        }
        closing
    }

    /// What waits, while the group has room for it.
    fn next_for(&mut self, group: &Group) -> Option<Message> {
        if group.has_room() {
            self.queue.try_recv().ok()
        } else {
            None
        }
    }

    fn write(&mut self, db: &DB, group: &mut Group) -> Result<(), ::rocksdb::Error> {
        let mut batch = std::mem::take(&mut group.batch);
        if batch.is_empty() {
            return Ok(());
        }
        self.group = self.group.wrapping_add(1);
        batch.put(keys::GROUP, self.group.to_be_bytes());
        usage::mark(&mut batch, self.group);
        #[cfg(test)]
        self.database.fail_before_write()?;
        Database::write_synced(db, batch)?;
        #[cfg(test)]
        self.database.fail_after_write()?;
        Ok(())
    }

    /// Answers a group whose write failed, then brings the database back, unless it is to be closed; gives back a
    /// request to close.
    fn settle(
        &mut self,
        group: Group,
        error: &::rocksdb::Error,
        closing: Option<oneshot::Sender<()>>,
    ) -> Option<oneshot::Sender<()>> {
        let full = error.as_ref().starts_with("IO error: No space left on device");
        let cause = if full {
            MetadataErrorKind::Full
        } else {
            MetadataErrorKind::Unavailable
        };
        tracing::error!(%error, "a write of the metadata store failed");
        match self.recover() {
            Ok(last) if last == self.group => group.answer(),
            Ok(_) => group.fail(cause, cause),
            Err(_) => {
                // A record whose bytes did not all go into the log is not replayed.
                let appending = error
                    .as_ref()
                    .starts_with("IO error: No space left on device: While appending to file");
                let outcome = if appending {
                    cause
                } else {
                    MetadataErrorKind::OutcomeUnknown
                };
                group.fail(cause, outcome);
                return closing.or_else(|| self.sit_out(cause));
            }
        }
        tracing::info!("the metadata store takes changes again");
        closing
    }

    /// Opens the database again when there is room to; tells the last group that was applied.
    fn recover(&self) -> Result<u64, MetadataError> {
        let unavailable = |error| MetadataError::caused_by(MetadataErrorKind::Unavailable, error);
        #[cfg(test)]
        self.database.fail_recovery()?;
        self.database.probe_room().map_err(unavailable)?;
        self.database.reopen().map_err(read_error)?;
        self.database.with(last_group)
    }

    /// Refuses changes until the database is back. Reads go on where it is still open.
    fn sit_out(&mut self, cause: MetadataErrorKind) -> Option<oneshot::Sender<()>> {
        let mut pause = FIRST_PAUSE;
        let mut last_try = Instant::now();
        loop {
            match self.queue.try_recv() {
                Ok(Message::Commit(request)) => {
                    let _ = request.reply.send(Err(MetadataError::new(cause)));
                    continue;
                }
                Ok(Message::Define(request)) => {
                    let _ = request.reply.send(Err(cause.into()));
                    continue;
                }
                Ok(Message::Task(request)) => {
                    let _ = request.reply.send(Err(MetadataError::new(cause)));
                    continue;
                }
                Ok(Message::Close(done)) => return Some(done),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => {}
            }
            if last_try.elapsed() < pause {
                std::thread::sleep(TICK);
                continue;
            }
            match self.recover() {
                Ok(last) => {
                    self.group = last;
                    tracing::info!("the metadata store takes changes again");
                    return None;
                }
                Err(error) => {
                    let source = error.source.map(|source| source.to_string()).unwrap_or_default();
                    tracing::debug!(error = source, "the metadata store is not back yet");
                    last_try = Instant::now();
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    fn refuse_waiting(&mut self, kind: MetadataErrorKind) {
        while let Ok(message) = self.queue.try_recv() {
            match message {
                Message::Commit(request) => {
                    let _ = request.reply.send(Err(MetadataError::new(kind)));
                }
                Message::Define(request) => {
                    let _ = request.reply.send(Err(kind.into()));
                }
                Message::Task(request) => {
                    let _ = request.reply.send(Err(MetadataError::new(kind)));
                }
                Message::Close(done) => {
                    let _ = done.send(());
                }
            }
        }
    }
}

impl Group {
    fn has_room(&self) -> bool {
        self.answers.len() + self.definition_answers.len() + self.task_answers.len() < GROUP_CHANGES
            && self.batch.size_in_bytes() < GROUP_BYTES
    }

    fn decide(&mut self, db: &DB, request: Request) {
        let answer = self.add(db, &request.change, &request.allowance);
        self.answers.push((request.reply, answer));
    }

    fn define(&mut self, db: &DB, definitions::Request { change, reply }: definitions::Request) {
        let answer = self.definitions.add(db, &mut self.batch, change);
        self.definition_answers.push((reply, answer));
    }

    /// Applies the change to what the group so far leaves. One that is refused leaves the group as it was.
    fn add(&mut self, db: &DB, change: &Change, allowance: &Allowance) -> Answer {
        let stored;
        let current = match self.entries.get(&change.id) {
            Some(entry) => Some(entry),
            None => {
                stored = read_entry(
                    change.id,
                    db.get_pinned_opt(keys::entry(change.id), &read_options(Reach::Disk)),
                )?;
                stored.as_ref()
            }
        };
        let next = change.apply(current)?;
        let (step, [before, after]) = self.usages.step(db, current, &next)?;
        allowance.check(&before, &after)?;
        let record = record::encode(&next)
            .map_err(|error| MetadataError::caused_by(MetadataErrorKind::Unavailable, error))?;
        let (old, new) = (keys::derived(current), keys::derived(Some(&next)));
        for key in old.difference(&new) {
            self.batch.delete(key);
        }
        for key in new.difference(&old) {
            self.batch.put(key, []);
        }
        self.batch.put(keys::entry(change.id), record);
        self.usages.take(step, &mut self.batch);
        self.entries.insert(change.id, next.clone());
        Ok(next)
    }

    fn answer(self) {
        for (reply, answer) in self.answers {
            // Nobody waits any more: the change happened all the same.
            let _ = reply.send(answer);
        }
        for (reply, answer) in self.definition_answers {
            let _ = reply.send(answer);
        }
        for (reply, answer) in self.task_answers {
            let _ = reply.send(answer);
        }
    }

    /// Answers a group that was not acknowledged. What was refused may have been refused because of a change that did
    /// not happen, so that it is no refusal; but surely nothing was changed by it.
    fn fail(self, refused: MetadataErrorKind, accepted: MetadataErrorKind) {
        for (reply, answer) in self.answers {
            let kind = if answer.is_ok() { accepted } else { refused };
            let _ = reply.send(Err(MetadataError::new(kind)));
        }
        for (reply, answer) in self.definition_answers {
            let kind = if answer.is_ok() { accepted } else { refused };
            let _ = reply.send(Err(kind.into()));
        }
        for (reply, answer) in self.task_answers {
            let kind = if answer.is_ok() { accepted } else { refused };
            let _ = reply.send(Err(MetadataError::new(kind)));
        }
    }
}

pub(super) fn last_group(db: &DB) -> Result<u64, MetadataError> {
    let stored = db.get(keys::GROUP).map_err(read_error)?;
    let Some(stored) = stored else { return Ok(0) };
    let number = <[u8; 8]>::try_from(stored.as_slice());
    number
        .map(u64::from_be_bytes)
        .map_err(|error| MetadataError::caused_by(MetadataErrorKind::Corrupt, error))
}
