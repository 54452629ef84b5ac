//! What is cached, in what order it was used, how much room it takes, and what waits to be cached. Pure: no file, no clock.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fs::File,
    sync::Weak,
};

use super::key::{Identity, Key};
use crate::image::{ImageId, Timestamp};

/// One image's data, complete.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) size: u64,
    pub(super) identity: Identity,
    /// Counts what was ever cached.
    pub(super) number: u64,
    /// Of the file, in the directory of complete ones.
    pub(super) file: String,
    pub(super) stamp: Stamp,
    pub(super) hits: u64,
    pub(super) accessed: Timestamp,
    pub(super) modified: Timestamp,
    /// Open as long as somebody reads it.
    pub(super) open: Weak<File>,
    /// Its place in the order of use.
    turn: u64,
}

/// By which a file is known to be the one that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) inode: u64,
    /// When it was last written: seconds since the epoch, and nanoseconds.
    pub(super) seconds: i64,
    pub(super) nanoseconds: i64,
}

/// There is no room that could be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoRoom;

/// The whole of it. All sizes are in bytes.
///
/// Guarantee: what is complete and what is reserved never exceed the limit together, unless the limit was lowered, which
/// [`Self::prune`] makes good.
#[derive(Debug)]
pub(super) struct Index {
    limit: u64,
    used: u64,
    reserved: u64,
    entries: HashMap<ImageId, Entry>,
    /// The entries, the one first that was not used for the longest time.
    order: BTreeMap<u64, ImageId>,
    turn: u64,
    /// The greatest number of an entry.
    number: u64,
    queue: VecDeque<ImageId>,
}

impl Entry {
    pub(super) fn new(key: &Key, file: String, stamp: Stamp, now: Timestamp) -> Self {
        Self {
            size: key.size(),
            identity: key.identity().clone(),
            number: 0,
            file,
            stamp,
            hits: 0,
            accessed: now,
            modified: now,
            open: Weak::new(),
            turn: 0,
        }
    }

    /// As it was written down, in an earlier life of the daemon.
    pub(super) fn restored(
        (size, identity, file, stamp): (u64, Identity, String, Stamp),
        (number, hits, accessed, modified): (u64, u64, Timestamp, Timestamp),
    ) -> Self {
        Self {
            size,
            identity,
            number,
            file,
            stamp,
            hits,
            accessed,
            modified,
            open: Weak::new(),
            turn: 0,
        }
    }

    pub(super) fn is_of(&self, key: &Key) -> bool {
        self.size == key.size() && self.identity == *key.identity()
    }

    /// Whether somebody reads it now.
    pub(super) fn is_read(&self) -> bool {
        self.open.strong_count() > 0
    }
}

impl Index {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            limit,
            used: 0,
            reserved: 0,
            entries: HashMap::new(),
            order: BTreeMap::new(),
            turn: 0,
            number: 0,
            queue: VecDeque::new(),
        }
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// What is complete.
    pub(super) fn used(&self) -> u64 {
        self.used
    }

    pub(super) fn get(&self, id: ImageId) -> Option<&Entry> {
        self.entries.get(&id)
    }

    /// All entries, the one first that was not used for the longest time.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ImageId, &Entry)> {
        self.order
            .values()
            .filter_map(|id| Some((*id, self.entries.get(id)?)))
    }

    /// Somebody reads it, through this file: it is the last to go.
    pub(super) fn hit(&mut self, id: ImageId, open: Weak<File>, now: Timestamp) {
        self.turn = self.turn.saturating_add(1);
        if let Some(entry) = self.entries.get_mut(&id) {
            self.order.remove(&entry.turn);
            entry.turn = self.turn;
            entry.hits = entry.hits.saturating_add(1);
            entry.accessed = now;
            entry.open = open;
            self.order.insert(self.turn, id);
        }
    }

    /// Takes so much room, and returns what has to go for it: what was not used for the longest time, and nothing that
    /// is being read.
    ///
    /// # Errors
    /// Not enough can go. Nothing was changed.
    pub(super) fn reserve(&mut self, size: u64) -> Result<Vec<Entry>, NoRoom> {
        let taken = self.used.saturating_add(self.reserved);
        let needed = taken.saturating_add(size);
        let mut excess = needed.saturating_sub(self.limit);
        if size > self.limit || needed == u64::MAX {
            return Err(NoRoom);
        }
        let mut going = Vec::new();
        for (id, entry) in self.iter() {
            if excess == 0 {
                break;
            }
            if !entry.is_read() {
                excess = excess.saturating_sub(entry.size);
                going.push(id);
            }
        }
        if excess > 0 {
            return Err(NoRoom);
        }
        self.reserved = self.reserved.saturating_add(size);
        Ok(going.into_iter().filter_map(|id| self.remove(id)).collect())
    }

    /// Gives reserved room back.
    pub(super) fn release(&mut self, size: u64) {
        self.reserved = self.reserved.saturating_sub(size);
    }

    /// Puts an entry in for which there is room, with a number of its own; returns the one of the same image that was there.
    pub(super) fn insert(&mut self, id: ImageId, entry: Entry) -> Option<Entry> {
        let number = self.number.saturating_add(1);
        self.restore(id, Entry { number, ..entry })
    }

    /// Puts an entry in with the number that it has.
    pub(super) fn restore(&mut self, id: ImageId, entry: Entry) -> Option<Entry> {
        let before = self.remove(id);
        self.number = self.number.max(entry.number);
        self.turn = self.turn.saturating_add(1);
        self.used = self.used.saturating_add(entry.size);
        self.order.insert(self.turn, id);
        let turn = self.turn;
        self.entries.insert(id, Entry { turn, ..entry });
        before
    }

    pub(super) fn remove(&mut self, id: ImageId) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        self.order.remove(&entry.turn);
        self.used = self.used.saturating_sub(entry.size);
        Some(entry)
    }

    /// Removes all; returns them.
    pub(super) fn clear(&mut self) -> Vec<Entry> {
        self.order.clear();
        self.used = 0;
        self.entries.drain().map(|(_, entry)| entry).collect()
    }

    /// Removes what is beyond the limit, as far as nobody reads it; returns it.
    pub(super) fn prune(&mut self) -> Vec<Entry> {
        let mut excess = self.used.saturating_add(self.reserved).saturating_sub(self.limit);
        let mut going = Vec::new();
        for (id, entry) in self.iter() {
            if excess == 0 {
                break;
            }
            if !entry.is_read() {
                excess = excess.saturating_sub(entry.size);
                going.push(id);
            }
        }
        going.into_iter().filter_map(|id| self.remove(id)).collect()
    }

    /// What waits to be cached, the next one first.
    pub(super) fn queue(&self) -> impl Iterator<Item = ImageId> {
        self.queue.iter().copied()
    }

    /// Whether it was not there already, and has a place now.
    pub(super) fn enqueue(&mut self, id: ImageId) -> bool {
        let is_new = !self.queue.contains(&id) && self.queue.len() < LONGEST_QUEUE;
        if is_new {
            self.queue.push_back(id);
        }
        is_new
    }

    /// Whether it was there.
    pub(super) fn dequeue(&mut self, id: ImageId) -> bool {
        let before = self.queue.len();
        self.queue.retain(|queued| *queued != id);
        self.queue.len() < before
    }

    /// Empties it; returns how many there were.
    pub(super) fn clear_queue(&mut self) -> usize {
        let count = self.queue.len();
        self.queue.clear();
        count
    }
}

/// More images wait for nothing: they would not fit.
const LONGEST_QUEUE: usize = 10_000;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    const STAMP: Stamp = Stamp {
        inode: 1,
        seconds: 2,
        nanoseconds: 3,
    };

    fn id(number: u8) -> ImageId {
        ImageId::from_bytes([number; 16])
    }

    fn entry(size: u64) -> Entry {
        Entry {
            size,
            identity: Identity::parse("md5:00".to_owned()).unwrap(),
            number: 0,
            file: "file".to_owned(),
            stamp: STAMP,
            hits: 0,
            accessed: Timestamp::from_micros(0),
            modified: Timestamp::from_micros(0),
            open: Weak::new(),
            turn: 0,
        }
    }

    /// As a person would write it down: entries in the order of use, with whether they are read.
    #[derive(Debug, Default)]
    struct Model {
        entries: Vec<(u8, u64, bool)>,
        reserved: Vec<u64>,
        queue: Vec<u8>,
    }

    impl Model {
        fn taken(&self) -> u64 {
            let used: u64 = self.entries.iter().map(|(_, size, _)| size).sum();
            used + self.reserved.iter().sum::<u64>()
        }

        /// What has to go for so much more.
        fn reserve(&mut self, limit: u64, size: u64) -> bool {
            let mut rest = self.entries.clone();
            let mut taken = self.taken();
            while taken + size > limit {
                let Some(at) = rest.iter().position(|(_, _, read)| !read) else {
                    return false;
                };
                taken -= rest.remove(at).1;
            }
            self.entries = rest;
            self.reserved.push(size);
            true
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Reserve(u64),
        Publish(u8),
        GiveUp,
        Hit(u8, bool),
        Close(u8),
        Remove(u8),
        Enqueue(u8),
        Dequeue(u8),
        Clear,
    }

    fn step() -> impl Strategy<Value = Step> {
        let name = 0_u8..6;
        prop_oneof![
            4 => (0_u64..40).prop_map(Step::Reserve),
            4 => name.clone().prop_map(Step::Publish),
            1 => Just(Step::GiveUp),
            4 => (name.clone(), any::<bool>()).prop_map(|(name, stays)| Step::Hit(name, stays)),
            2 => name.clone().prop_map(Step::Close),
            1 => name.clone().prop_map(Step::Remove),
            1 => name.clone().prop_map(Step::Enqueue),
            1 => name.prop_map(Step::Dequeue),
            1 => Just(Step::Clear),
        ]
    }

    proptest! {
        #[test]
        fn it_does_what_the_model_does(steps in proptest::collection::vec(step(), 1..200)) {
            const LIMIT: u64 = 100;
            let mut index = Index::new(LIMIT);
            let mut model = Model::default();
            let file = Arc::new(tempfile::tempfile().unwrap());
            for step in steps {
                match step {
                    Step::Reserve(size) => {
                        let before = model.entries.len();
                        let fits = model.reserve(LIMIT, size);
                        let gone = index.reserve(size);
                        prop_assert_eq!(gone.is_ok(), fits);
                        let gone = gone.map_or(0, |gone| gone.len());
                        prop_assert_eq!(gone, before - model.entries.len());
                    }
                    Step::Publish(name) => {
                        if let Some(size) = model.reserved.pop() {
                            model.entries.retain(|(known, ..)| *known != name);
                            model.entries.push((name, size, false));
                            index.release(size);
                            index.insert(id(name), entry(size));
                        }
                    }
                    Step::GiveUp => {
                        if let Some(size) = model.reserved.pop() {
                            index.release(size);
                        }
                    }
                    Step::Hit(name, stays) => {
                        if let Some(at) = model.entries.iter().position(|(known, ..)| *known == name) {
                            let (_, size, _) = model.entries.remove(at);
                            model.entries.push((name, size, stays));
                        }
                        let open = if stays { Arc::downgrade(&file) } else { Weak::new() };
                        index.hit(id(name), open, Timestamp::from_micros(9));
                    }
                    Step::Close(name) => {
                        for entry in model.entries.iter_mut().filter(|(known, ..)| *known == name) {
                            entry.2 = false;
                        }
                        if let Some(entry) = index.entries.get_mut(&id(name)) {
                            entry.open = Weak::new();
                        }
                    }
                    Step::Remove(name) => {
                        let before = model.entries.len();
                        model.entries.retain(|(known, ..)| *known != name);
                        prop_assert_eq!(index.remove(id(name)).is_some(), model.entries.len() < before);
                    }
                    Step::Enqueue(name) => {
                        let is_new = !model.queue.contains(&name);
                        if is_new {
                            model.queue.push(name);
                        }
                        prop_assert_eq!(index.enqueue(id(name)), is_new);
                    }
                    Step::Dequeue(name) => {
                        let before = model.queue.len();
                        model.queue.retain(|queued| *queued != name);
                        prop_assert_eq!(index.dequeue(id(name)), model.queue.len() < before);
                    }
                    Step::Clear => {
                        prop_assert_eq!(index.clear().len(), model.entries.len());
                        model.entries.clear();
                    }
                }
                prop_assert!(index.used + index.reserved <= LIMIT);
                prop_assert_eq!(index.used + index.reserved, model.taken());
                let found: Vec<_> = index.iter().map(|(id, entry)| (id, entry.size, entry.is_read())).collect();
                let expected: Vec<_> = model.entries.iter().map(|(name, size, read)| (id(*name), *size, *read)).collect();
                prop_assert_eq!(found, expected);
                let queue: Vec<_> = model.queue.iter().map(|name| id(*name)).collect();
                prop_assert_eq!(index.queue().collect::<Vec<_>>(), queue);
                prop_assert_eq!(index.entries.len(), index.order.len());
            }
        }
    }

    #[test]
    fn a_lowered_limit_lets_the_oldest_go_that_nobody_reads() {
        let mut index = Index::new(10);
        for number in 0..4 {
            index.insert(id(number), entry(5));
        }
        let file = Arc::new(tempfile::tempfile().unwrap());
        index.hit(id(0), Arc::downgrade(&file), Timestamp::from_micros(0));
        index.insert(id(4), entry(0));
        let gone = index.prune();
        assert_eq!((gone.len(), index.used()), (2, 10));
        let left: Vec<ImageId> = index.iter().map(|(id, _)| id).collect();
        assert_eq!(left, [id(3), id(0), id(4)]);
        assert!(index.prune().is_empty());
    }

    #[test]
    fn sizes_that_overflow_have_no_room() {
        let mut index = Index::new(u64::MAX);
        index.insert(id(0), entry(1));
        assert_eq!(index.reserve(u64::MAX).unwrap_err(), NoRoom);
        assert_eq!(index.reserve(1).unwrap().len(), 0);
    }
}
