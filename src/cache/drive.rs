//! The life of a fill: from the store's answer to the index, or to nothing.

use std::{
    fs::File,
    io,
    sync::{Arc, atomic::Ordering},
};

use tokio::task::{JoinHandle, spawn_blocking};
use tracing::{Instrument, Span, debug, error, info, warn};
use uuid::Uuid;

use super::{
    Cache, Contents, FILLS_AT_ONCE, Key, Origin, Shared, directory,
    fill::{Failure, Fill, Reason, State},
    index::{Entry, NoRoom},
    room::{Room, STEP},
};
use crate::image::{ImageId, Timestamp};

/// What became of an image that was to be cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetched {
    /// It is cached.
    Cached,
    /// It is larger than the cache.
    TooLarge,
    /// It does not fit now, and will not unless others go.
    NoRoom,
    /// It could not be had now.
    Failed,
    /// Its store has failed within the data.
    Broken,
    /// All of it came, and was not what it should be.
    Wrong,
    /// So many others are on their way that this one has to wait.
    Busy,
}

/// A fill's task. Whatever happens to it, its readers are told, and what it holds is given back.
struct Running {
    shared: Arc<Shared>,
    fill: Arc<Fill>,
    room: Arc<Room>,
    /// Of its file, as long as that is to be removed.
    file: Option<String>,
    /// Makes the file. Whoever removes it waits for this.
    creating: Option<JoinHandle<Result<File, Failure>>>,
}

impl Cache {
    /// Caches an image whether anybody reads it or not; returns when it is cached, or will not be. Dropping the future stops
    /// nothing.
    pub async fn fetch(&self, key: &Key, origin: &Arc<dyn Origin>) -> Fetched {
        let fill = {
            let mut state = self.shared.lock();
            if state.index.get(key.image()).is_some_and(|entry| entry.is_of(key)) {
                state.dequeue(key.image());
                return Fetched::Cached;
            }
            if key.size() > state.index.limit() {
                return Fetched::TooLarge;
            }
            let running = state
                .fills
                .get(&key.image())
                .filter(|fill| fill.key == *key)
                .cloned();
            let fill = match running {
                Some(fill) => fill,
                None if state.running >= FILLS_AT_ONCE => return Fetched::Busy,
                None => self.begin(&mut state, key, origin),
            };
            fill.want();
            fill
        };
        fill.closed().await;
        let state = self.shared.lock();
        if state.index.get(key.image()).is_some_and(|entry| entry.is_of(key)) {
            return Fetched::Cached;
        }
        match fill.watch().borrow().state {
            State::GivenUp(Reason::NoRoom) => Fetched::NoRoom,
            State::Broken(_) => Fetched::Broken,
            State::Wrong => Fetched::Wrong,
            _ => Fetched::Failed,
        }
    }

    /// Begins a fill that others may join. Under the lock.
    pub(super) fn begin(&self, state: &mut Contents, key: &Key, origin: &Arc<dyn Origin>) -> Arc<Fill> {
        let fill = Arc::new(Fill::new(key.clone()));
        if let Some(other) = state.fills.insert(key.image(), Arc::clone(&fill)) {
            other.orphan();
        }
        state.running = state.running.saturating_add(1);
        let running = Running {
            shared: Arc::clone(&self.shared),
            fill: Arc::clone(&fill),
            room: Room::new(Arc::clone(&self.shared), key.size(), STEP),
            file: None,
            creating: None,
        };
        tokio::spawn(running.drive(Arc::clone(origin)).instrument(Span::current()));
        fill
    }
}

impl Contents {
    pub(super) fn dequeue(&mut self, id: ImageId) -> bool {
        let was_there = self.index.dequeue(id);
        self.is_dirty |= was_there;
        self.asked.remove(&id);
        was_there
    }
}

impl Running {
    async fn drive(mut self, origin: Arc<dyn Origin>) {
        let fill = Arc::clone(&self.fill);
        let filled = tokio::select! {
            biased;
            () = fill.cancelled() => Ok(None),
            filled = self.fill(&*origin) => filled.map(Some),
        };
        let image = fill.key.image();
        let outcome = match filled {
            Ok(Some(file)) => {
                // From here on nobody needs to wait for the disk.
                fill.end(State::Verified);
                self.publish(file, &*origin).await
            }
            Ok(None) => {
                debug!(%image, "an image is not cached: nobody reads it any more");
                fill.end(State::GivenUp(Reason::Unwanted));
                "given_up"
            }
            Err(failure) => self.failed(failure),
        };
        metrics::counter!("saccade_image_cache_fills_total", "outcome" => outcome).increment(1);
        self.remove_file().await;
    }

    async fn fill(&mut self, origin: &dyn Origin) -> Result<Arc<File>, Failure> {
        let chunks = origin.open().await.map_err(Failure::NotOpened)?;
        let name = format!("{}.{}", self.fill.key.image(), Uuid::new_v4().simple());
        self.file = Some(name.clone());
        self.shared.lock().files.insert(name.clone());
        let (shared, room) = (Arc::clone(&self.shared), Arc::clone(&self.room));
        let creating = self.creating.insert(spawn_blocking(move || {
            room.promise()?;
            let file = shared.directory.create(&name).map_err(Failure::Local)?;
            room.extend(0, &file)?;
            Ok(file)
        }));
        let created = creating.await;
        self.creating = None;
        let created = created.map_err(|error| Failure::Local(io::Error::other(error)));
        let file = Arc::new(created.flatten()?);
        self.fill.begin(Arc::clone(&file));
        let (digests, stall) = (&self.shared.digests, self.shared.stall);
        self.fill
            .run(chunks, Arc::clone(&file), &self.room, digests, stall)
            .await?;
        Ok(file)
    }

    fn failed(&self, failure: Failure) -> &'static str {
        let fill = &self.fill;
        let image = fill.key.image();
        match failure {
            Failure::NotOpened(error) => {
                debug!(%image, %error, "an image is not cached: its store does not give it");
                fill.end(State::GivenUp(Reason::NotOpened));
                "not_opened"
            }
            Failure::NoRoom(why) => {
                match why {
                    NoRoom::Limit => {
                        debug!(%image, "an image is not cached: what is being read takes all the room")
                    }
                    NoRoom::Disk => {
                        let error = io::Error::from(io::ErrorKind::StorageFull);
                        let what = "an image is not cached, so that free_space_reserve stays free there";
                        self.shared.trouble(what, &error);
                    }
                }
                fill.end(State::GivenUp(Reason::NoRoom));
                "no_room"
            }
            Failure::Local(error) => {
                self.shared.trouble("an image cannot be written there", &error);
                fill.end(State::GivenUp(Reason::Local));
                "local_failure"
            }
            Failure::Source(error) => {
                let causes =
                    std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
                let chain = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
                warn!(%image, error = chain, "an image is not cached: its store has failed within its data");
                fill.end(State::Broken(Arc::new(error)));
                "source_failure"
            }
            Failure::Wrong { expected, found } => {
                error!(%image, expected, found, "the data of an image is not what it was: it was not delivered to its end, \
                       and is not cached");
                fill.end(State::Wrong);
                "wrong_data"
            }
        }
    }

    /// Makes a file that is whole and right durable, and puts it into the index, unless nobody wants it any more.
    async fn publish(&mut self, filled: Arc<File>, origin: &dyn Origin) -> &'static str {
        let image = self.fill.key.image();
        let Some(name) = self.file.clone() else {
            return "local_failure";
        };
        if !origin.is_current().await {
            return "outdated";
        }
        let published = spawn_blocking({
            let (shared, name, filled) = (Arc::clone(&self.shared), name.clone(), Arc::clone(&filled));
            move || shared.directory.publish(&name, &filled)
        });
        let stamp = match published.await.map_err(io::Error::other).flatten() {
            Ok(stamp) => stamp,
            Err(error) => {
                self.shared.trouble("a file cannot be made durable there", &error);
                return "local_failure";
            }
        };
        let size = self.fill.key.size();
        {
            let mut state = self.shared.lock();
            if !state.forget(&self.fill) {
                return "outdated";
            }
            self.room.give_back(&mut state);
            let mut entry = Entry::new(&self.fill.key, name.clone(), stamp, Timestamp::now());
            // Those that have followed the fill read it still.
            entry.open = Arc::downgrade(&filled);
            let before = state.index.insert(image, entry);
            state.files.remove(&name);
            state.dequeue(image);
            state.is_dirty = true;
            state.measure();
            self.file = None;
            self.shared.discard(before, "stale");
        }
        info!(%image, size, "image cached");
        self.shared.troubled.store(false, Ordering::Relaxed);
        Cache {
            shared: Arc::clone(&self.shared),
        }
        .save()
        .await;
        "cached"
    }

    /// Removes the file, unless it is in the index; whoever has it open reads on.
    async fn remove_file(&mut self) {
        if let Some(creating) = self.creating.take() {
            let _ = creating.await;
        }
        if let Some(file) = self.file.clone() {
            let shared = Arc::clone(&self.shared);
            let removed = spawn_blocking(move || {
                directory::remove(&shared.directory.incomplete(&file));
                directory::remove(&shared.directory.complete(&file));
            });
            // A panic was logged where it happened.
            let _ = removed.await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.forget(&self.fill);
        self.room.give_back(&mut state);
        state.running = state.running.saturating_sub(1);
        if let Some(file) = &self.file {
            state.files.remove(file);
        }
        drop(state);
        self.fill.close();
    }
}
