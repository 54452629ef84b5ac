//! Places to wait for: a semaphore that is fair to tenants.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use tokio::sync::oneshot;

use super::line::{Bounds, Entry, Limit, Line, Tenant, Ticket};

/// A number of places. Clones share them; who gets one when is said by [`Line`].
#[derive(Debug, Clone)]
pub(in crate::transfer) struct Places(Arc<Mutex<Line<oneshot::Sender<Verdict>>>>);

/// What ends a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Placed,
    PushedOut,
}

/// What becomes of who asks for a place.
#[derive(Debug)]
pub(in crate::transfer) enum Asked {
    /// Has one.
    Placed(Place),
    /// Waits for one.
    Waits(Waiting),
    /// Too many wait.
    Full,
}

/// One place; free again when this is dropped.
#[derive(Debug)]
pub(in crate::transfer) struct Place {
    places: Places,
    tenant: Tenant,
}

/// Somebody in the line. Dropped, they have left it, or given back what they had just got.
#[derive(Debug)]
pub(in crate::transfer) struct Waiting {
    places: Places,
    tenant: Tenant,
    ticket: Ticket,
    told: oneshot::Receiver<Verdict>,
    is_over: bool,
}

/// Had to leave the line to those of a tenant of which fewer wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transfer) struct PushedOut;

impl Places {
    pub(in crate::transfer) fn new(bounds: Bounds) -> Self {
        Self(Arc::new(Mutex::new(Line::new(bounds))))
    }

    /// A place at once, or in the tenant's turn.
    pub(in crate::transfer) fn ask(&self, tenant: &Tenant) -> Asked {
        let mut told = None;
        let mut line = self.lock();
        let entry = line.enter(tenant, || {
            let (tell, receiver) = oneshot::channel();
            told = Some(receiver);
            tell
        });
        drop(line);
        match (entry, told) {
            (Entry::Placed, _) => Asked::Placed(Place {
                places: self.clone(),
                tenant: tenant.clone(),
            }),
            (Entry::Waits { ticket, pushed_out }, Some(told)) => {
                if let Some(other) = pushed_out {
                    // They may be leaving by themselves.
                    let _ = other.send(Verdict::PushedOut);
                }
                Asked::Waits(Waiting {
                    places: self.clone(),
                    tenant: tenant.clone(),
                    ticket,
                    told,
                    is_over: false,
                })
            }
            (Entry::Full | Entry::Waits { .. }, _) => Asked::Full,
        }
    }

    /// What keeps the tenant from having one more place.
    pub(in crate::transfer) fn limit_on(&self, tenant: &Tenant) -> Limit {
        self.lock().limit_on(tenant)
    }

    /// How many wait.
    pub(in crate::transfer) fn waiting(&self) -> usize {
        self.lock().waiting()
    }

    /// A place of the tenant's is free: whoever may have it gets it.
    fn give_back(&self, tenant: &Tenant) {
        let mut line = self.lock();
        line.give_back(tenant);
        while let Some((other, told)) = line.next() {
            // Who has gone without leaving the line does not keep the place.
            if told.send(Verdict::Placed).is_err() {
                line.give_back(&other);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Line<oneshot::Sender<Verdict>>> {
        // No code under this lock leaves the line half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tenants that anything is known of, places taken, and who waits.
    #[cfg(test)]
    pub(in crate::transfer) fn census(&self) -> (usize, usize, usize) {
        self.lock().census()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.give_back(&self.tenant);
    }
}

impl Future for Waiting {
    type Output = Result<Place, PushedOut>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.told).poll(cx).map(|verdict| {
            self.is_over = true;
            match verdict {
                Ok(Verdict::Placed) => Ok(Place {
                    places: self.places.clone(),
                    tenant: self.tenant.clone(),
                }),
                Ok(Verdict::PushedOut) | Err(_) => Err(PushedOut),
            }
        })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let left = self.places.lock().cancel(&self.tenant, self.ticket);
        // Places are given under the lock: whoever is not in the line any more has been told by now.
        if !left && self.told.try_recv() == Ok(Verdict::Placed) {
            self.places.give_back(&self.tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(places: usize) -> Places {
        Places::new(Bounds {
            places,
            per_tenant: usize::MAX,
            waiting: 100,
        })
    }

    fn placed(asked: Asked) -> Place {
        match asked {
            Asked::Placed(place) => place,
            other => panic!("{other:?}"),
        }
    }

    fn waits(asked: Asked) -> Waiting {
        match asked {
            Asked::Waits(waiting) => waiting,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_place_that_is_given_back_wakes_who_is_next() {
        let (places, a, b) = (places(1), Tenant::new("a"), Tenant::new("b"));
        let held = placed(places.ask(&a));
        let (second, other) = (waits(places.ask(&a)), waits(places.ask(&b)));
        drop(held);
        let other = other.await.unwrap();
        assert_eq!(places.census(), (2, 1, 1));
        drop(other);
        drop(second.await.unwrap());
        assert_eq!(places.census(), (0, 0, 0));
    }

    #[tokio::test]
    async fn who_goes_while_waiting_or_just_after_getting_a_place_leaves_no_trace() {
        let (places, a) = (places(1), Tenant::new("a"));
        let held = placed(places.ask(&a));
        drop(waits(places.ask(&a)));
        assert_eq!(places.census(), (1, 1, 0));
        // Has got it, and does not know yet.
        let (lucky, next) = (waits(places.ask(&a)), waits(places.ask(&a)));
        drop(held);
        assert_eq!(places.census(), (1, 1, 1));
        drop(lucky);
        drop(next.await.unwrap());
        assert_eq!(places.census(), (0, 0, 0));
    }

    #[tokio::test]
    async fn who_is_pushed_out_is_told() {
        let places = Places::new(Bounds {
            places: 1,
            per_tenant: 1,
            waiting: 2,
        });
        let (a, b) = (Tenant::new("a"), Tenant::new("b"));
        let _held = placed(places.ask(&a));
        let (_first, last) = (waits(places.ask(&a)), waits(places.ask(&a)));
        assert!(matches!(places.ask(&a), Asked::Full));
        let _other = waits(places.ask(&b));
        assert_eq!(last.await.unwrap_err(), PushedOut);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn many_tasks_that_come_and_go_never_hold_more_than_there_is() {
        use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
        let (places, held) = (places(5), Arc::new(AtomicUsize::new(0)));
        let tasks: Vec<_> = (0..60_u64)
            .map(|number| {
                let (places, held) = (places.clone(), held.clone());
                tokio::spawn(async move {
                    let tenant = Tenant::new(&(number % 4).to_string());
                    for round in 0..50 {
                        let place = match places.ask(&tenant) {
                            Asked::Placed(place) => Some(place),
                            Asked::Full => None,
                            Asked::Waits(waiting) if (number + round) % 3 == 0 => {
                                tokio::select! {
                                    biased;
                                    () = tokio::task::yield_now() => None,
                                    place = waiting => place.ok(),
                                }
                            }
                            Asked::Waits(waiting) => waiting.await.ok(),
                        };
                        if place.is_some() {
                            assert!(held.fetch_add(1, SeqCst) < 5);
                            tokio::task::yield_now().await;
                            held.fetch_sub(1, SeqCst);
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(places.census(), (0, 0, 0));
    }
}
