//! Stopping a call where a test wants it.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// Holds one call until it is released; dropping it releases, too.
#[derive(Debug)]
pub struct Gate(Arc<Sides>);

/// The call's side of a gate.
#[derive(Debug, Clone)]
pub(crate) struct Barrier(Arc<Sides>);

/// Semaphores without permits: to acquire is to wait until they are closed.
#[derive(Debug)]
struct Sides {
    reached: Semaphore,
    released: Semaphore,
}

impl Gate {
    pub(crate) fn new() -> (Self, Barrier) {
        let sides = Arc::new(Sides {
            reached: Semaphore::new(0),
            released: Semaphore::new(0),
        });
        (Self(Arc::clone(&sides)), Barrier(sides))
    }

    /// Waits until the call has come here. Cancel safe.
    pub async fn reached(&self) {
        // Its only outcome is that the semaphore is closed.
        let _ = self.0.reached.acquire().await;
    }

    /// Lets the call go on.
    pub fn release(self) {}
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.0.released.close();
    }
}

impl Barrier {
    pub(crate) async fn wait(&self) {
        self.0.reached.close();
        let _ = self.0.released.acquire().await;
    }
}
