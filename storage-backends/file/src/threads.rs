//! How many threads one store may hold.
//!
//! The pool of blocking threads is the whole process's: its other stores' and its metadata's. A file system that does not answer
//! keeps every thread that calls it, so that a store without a bound would take all of them.

use std::sync::Arc;

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{JoinError, spawn_blocking},
};

/// Threads that write and sync at once. A disk gains nothing from more.
const WRITING: usize = 16;

/// Threads that make all other calls: they look up names, and are short.
const CALLING: usize = 8;

/// The bounds of one store. Who waits gets a thread in the order of asking.
#[derive(Debug)]
pub(crate) struct Threads {
    writing: Arc<Semaphore>,
    calling: Arc<Semaphore>,
}

/// A thread's place among those that write, which it has until it ends.
#[derive(Debug)]
pub(crate) struct Place {
    all: Arc<Semaphore>,
    _one: Option<OwnedSemaphorePermit>,
}

impl Place {
    /// Whether somebody may be waiting for it.
    pub(crate) fn is_wanted(&self) -> bool {
        self.all.available_permits() == 0
    }
}

impl Default for Threads {
    fn default() -> Self {
        Self {
            writing: Arc::new(Semaphore::new(WRITING)),
            calling: Arc::new(Semaphore::new(CALLING)),
        }
    }
}

impl Threads {
    /// Runs what writes or syncs bytes on a thread, when it is its turn. It goes on when this is dropped, if it has begun.
    ///
    /// # Errors
    /// The call has panicked, or the runtime ends.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Place) -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        on_a_thread(&self.writing, call).await
    }

    /// As [`Threads::write`], for all other calls.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        on_a_thread(&self.calling, |_| call()).await
    }
}

async fn on_a_thread<T: Send + 'static>(
    bound: &Arc<Semaphore>,
    call: impl FnOnce(&Place) -> T + Send + 'static,
) -> Result<T, JoinError> {
    let place = Place {
        all: Arc::clone(bound),
        // It is never closed.
        _one: Arc::clone(bound).acquire_owned().await.ok(),
    };
    // The place goes with the thread: whoever asked may have gone long before a call that hangs has ended.
    spawn_blocking(move || call(&place)).await
}
