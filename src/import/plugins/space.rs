//! The space on the node's disk that plugins share: what one is going to write is not there for the next.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::transfer::UploadErrorKind;

/// The bytes that are going to be written, of all together.
#[derive(Debug, Clone, Default)]
pub(super) struct Space {
    promised: Arc<AtomicU64>,
}

/// Bytes that are going to be written; those that are not go back when it is dropped.
#[derive(Debug)]
pub(super) struct Promise {
    promised: Arc<AtomicU64>,
    bytes: u64,
    /// What is still to come of them.
    left: u64,
}

impl Space {
    /// Space for so many bytes; `spare` is what is free now and may be used, if the file system says so.
    ///
    /// # Errors
    /// `StoreFull`: with what was promised to others there is not so much.
    pub(super) fn promise(&self, bytes: u64, spare: Option<u64>) -> Result<Promise, UploadErrorKind> {
        let order = Ordering::Relaxed;
        let promised = self.promised.fetch_update(order, order, |promised| {
            let all = promised.checked_add(bytes)?;
            spare.is_none_or(|spare| all <= spare).then_some(all)
        });
        promised.map_err(|_| UploadErrorKind::StoreFull)?;
        Ok(Promise {
            promised: Arc::clone(&self.promised),
            bytes,
            left: bytes,
        })
    }
}

impl Promise {
    /// How much of that is there for this one, more than was promised perhaps, since others' promises are kept.
    pub(super) fn most(&self, spare: Option<u64>) -> u64 {
        let others = self.promised.load(Ordering::Relaxed).saturating_sub(self.left);
        spare.map_or(u64::MAX, |spare| spare.saturating_sub(others))
    }

    /// So many bytes have been written in all: they are no longer free.
    pub(super) fn written(&mut self, bytes: u64) {
        let left = self.left.min(self.bytes.saturating_sub(bytes));
        let done = self.left.saturating_sub(left);
        self.promised.fetch_sub(done, Ordering::Relaxed);
        self.left = left;
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.promised.fetch_sub(self.left, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_promised_to_one_is_not_there_for_another() {
        let space = Space::default();
        let first = space.promise(60, Some(100)).unwrap();
        assert!(matches!(
            space.promise(41, Some(100)),
            Err(UploadErrorKind::StoreFull)
        ));
        let second = space.promise(40, Some(100)).unwrap();
        assert_eq!((first.most(Some(100)), second.most(Some(110))), (60, 50));
        drop(first);
        assert_eq!(second.most(Some(100)), 100);
        assert!(space.promise(60, Some(100)).is_ok());
    }

    #[test]
    fn what_was_written_is_counted_once() {
        let space = Space::default();
        let mut first = space.promise(60, Some(100)).unwrap();
        first.written(50);
        // The file system has 50 less by then.
        assert!(space.promise(41, Some(50)).is_err());
        drop(space.promise(40, Some(50)).unwrap());
        // More than was said.
        first.written(70);
        first.written(10);
        assert!(space.promise(30, Some(30)).is_ok());
        drop(first);
        assert_eq!(space.promised.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_file_system_that_does_not_say_how_full_it_is_has_room() {
        let space = Space::default();
        let all = space.promise(u64::MAX, None).unwrap();
        assert_eq!(all.most(None), u64::MAX);
        assert!(space.promise(1, None).is_err(), "no number for so many");
    }
}
