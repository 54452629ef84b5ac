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
pub(super) enum NoRoom {
    /// What is being read and what is on its way take the limit.
    Limit,
    /// The disk has too little free space, and what may go is not enough.
    Disk,
}

/// The whole of it. All sizes are in bytes.
///
/// Guarantee: what is complete and what fills have taken never exceed the limit together, unless the limit was lowered, which
/// [`Self::prune`] makes good.
#[derive(Debug)]
pub(super) struct Index {
    limit: u64,
    used: u64,
    /// What fills have taken.
    taken: u64,
    /// What fills may still take.
    promised: u64,
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
            taken: 0,
            promised: 0,
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

    /// The oldest ones that nobody reads, of so many bytes together; `None` when that is more than there is.
    fn victims(&self, mut bytes: u64) -> Option<Vec<ImageId>> {
        let mut going = Vec::new();
        for (id, entry) in self.iter() {
            if bytes == 0 {
                break;
            }
            if !entry.is_read() {
                bytes = bytes.saturating_sub(entry.size);
                going.push(id);
            }
        }
        (bytes == 0).then_some(going)
    }

    /// What has to go for so many bytes more than `taken`, and for so many that the disk is short of.
    fn victims_of(&self, taken: u64, size: u64, short: u64) -> Result<Vec<ImageId>, NoRoom> {
        let needed = taken.checked_add(size).ok_or(NoRoom::Limit)?;
        let excess = needed.saturating_sub(self.limit);
        let victims = self
            .victims(excess)
            .filter(|_| size <= self.limit)
            .ok_or(NoRoom::Limit)?;
        match short > excess {
            true => self.victims(short).ok_or(NoRoom::Disk),
            false => Ok(victims),
        }
    }

    /// What fills may still take.
    pub(super) fn promised(&self) -> u64 {
        self.promised
    }

    /// Promises a fill so much room, if there is as much beside what is being read, taken and promised, and if what may go
    /// is as much as the disk is short of. Nothing goes yet.
    ///
    /// # Errors
    /// Not enough could go. Nothing was changed.
    pub(super) fn promise(&mut self, size: u64, short: u64) -> Result<(), NoRoom> {
        let taken = self.used.saturating_add(self.taken).saturating_add(self.promised);
        self.victims_of(taken, size, short)?;
        self.promised = self.promised.saturating_add(size);
        Ok(())
    }

    /// Takes so much of what was promised, and returns what has to go for it: what was not used for the longest time, and
    /// nothing that is being read.
    ///
    /// # Errors
    /// Not enough can go: more is read than was when it was promised. Nothing was changed.
    pub(super) fn take(&mut self, size: u64, short: u64) -> Result<Vec<Entry>, NoRoom> {
        let going = self.victims_of(self.used.saturating_add(self.taken), size, short)?;
        self.promised = self.promised.saturating_sub(size);
        self.taken = self.taken.saturating_add(size);
        Ok(going.into_iter().filter_map(|id| self.remove(id)).collect())
    }

    /// A promise that is not needed any more.
    pub(super) fn withdraw(&mut self, size: u64) {
        self.promised = self.promised.saturating_sub(size);
    }

    /// Gives back what was taken.
    pub(super) fn release(&mut self, size: u64) {
        self.taken = self.taken.saturating_sub(size);
    }

    /// Puts an entry in for which there is room, with a number of its own; returns the one of the same image that was
    /// there, and the oldest of more than [`MOST_ENTRIES`].
    pub(super) fn insert(&mut self, id: ImageId, entry: Entry) -> Vec<Entry> {
        let number = self.number.saturating_add(1);
        let before = self.restore(id, Entry { number, ..entry });
        before.into_iter().chain(self.surplus()).collect()
    }

    /// Removes the oldest of more entries than there may be, those that nobody reads first; returns them.
    fn surplus(&mut self) -> Vec<Entry> {
        let count = self.entries.len().saturating_sub(MOST_ENTRIES);
        if count == 0 {
            return Vec::new();
        }
        let ids = |is_read: bool| {
            let of_kind = self.iter().filter(move |(_, entry)| entry.is_read() == is_read);
            of_kind.map(|(id, _)| id)
        };
        let going: Vec<ImageId> = ids(false).chain(ids(true)).take(count).collect();
        going.into_iter().filter_map(|id| self.remove(id)).collect()
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

    /// Removes what is beyond the limits, as far as nobody reads it; returns it.
    pub(super) fn prune(&mut self) -> Vec<Entry> {
        let excess = self.used.saturating_add(self.taken).saturating_sub(self.limit);
        let unread = || self.iter().filter(|(_, entry)| !entry.is_read());
        let going = self
            .victims(excess)
            .unwrap_or_else(|| unread().map(|(id, _)| id).collect());
        let mut gone: Vec<Entry> = going.into_iter().filter_map(|id| self.remove(id)).collect();
        gone.extend(self.surplus());
        gone
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
pub(super) const LONGEST_QUEUE: usize = 10_000;

/// More images are not kept: the index that is written has to be one that is read back.
pub(super) const MOST_ENTRIES: usize = 100_000;

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
        /// What fills have: promised, and taken of it.
        fills: Vec<(u64, u64)>,
        queue: Vec<u8>,
    }

    impl Model {
        fn taken(&self) -> u64 {
            let used: u64 = self.entries.iter().map(|(_, size, _)| size).sum();
            used + self.fills.iter().map(|(_, taken)| taken).sum::<u64>()
        }

        fn promised(&self) -> u64 {
            self.fills.iter().map(|(promised, taken)| promised - taken).sum()
        }

        /// What stays when there are so many bytes beside it, and so many must go.
        fn rest(&self, limit: u64, beside: u64, short: u64) -> Option<Vec<(u8, u64, bool)>> {
            let mut rest = self.entries.clone();
            let used = |rest: &[(u8, u64, bool)]| rest.iter().map(|(_, size, _)| size).sum::<u64>();
            let before = used(&rest);
            while used(&rest) + beside > limit || before - used(&rest) < short {
                let at = rest.iter().position(|(_, _, read)| !read)?;
                rest.remove(at);
            }
            Some(rest)
        }

        fn taken_by_fills(&self) -> u64 {
            self.fills.iter().map(|(_, taken)| taken).sum()
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Promise(u64, u64),
        Take(u64, u64),
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
        let short = prop_oneof![4 => Just(0_u64), 1 => 0_u64..60];
        prop_oneof![
            4 => (0_u64..40, short.clone()).prop_map(|(size, short)| Step::Promise(size, short)),
            6 => (0_u64..20, short).prop_map(|(size, short)| Step::Take(size, short)),
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
                    Step::Promise(size, short) => {
                        let beside = model.taken_by_fills() + model.promised() + size;
                        let fits = model.rest(LIMIT, beside, short).is_some();
                        prop_assert_eq!(index.promise(size, short).is_ok(), fits);
                        if fits {
                            model.fills.push((size, 0));
                        }
                    }
                    Step::Take(size, short) => {
                        let Some((promised, taken)) = model.fills.last().copied() else { continue };
                        let size = size.min(promised - taken);
                        let rest = model.rest(LIMIT, model.taken_by_fills() + size, short);
                        let gone = index.take(size, short);
                        prop_assert_eq!(gone.is_ok(), rest.is_some());
                        if let (Ok(gone), Some(rest)) = (gone, rest) {
                            prop_assert_eq!(gone.len(), model.entries.len() - rest.len());
                            model.entries = rest;
                            model.fills.last_mut().unwrap().1 += size;
                        }
                    }
                    Step::Publish(name) => {
                        if let Some((size, taken)) = model.fills.pop_if(|(promised, taken)| promised == taken) {
                            prop_assert_eq!(size, taken);
                            model.entries.retain(|(known, ..)| *known != name);
                            model.entries.push((name, size, false));
                            index.release(size);
                            index.insert(id(name), entry(size));
                        }
                    }
                    Step::GiveUp => {
                        if let Some((promised, taken)) = model.fills.pop() {
                            index.withdraw(promised - taken);
                            index.release(taken);
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
                prop_assert!(index.used + index.taken <= LIMIT);
                prop_assert_eq!(index.used + index.taken, model.taken());
                prop_assert_eq!(index.promised(), model.promised());
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
        assert_eq!(index.promise(u64::MAX, 0), Err(NoRoom::Limit));
        assert_eq!(index.promise(1, 0), Ok(()));
        assert_eq!(index.take(1, 0).unwrap().len(), 0);
    }

    #[test]
    fn no_more_entries_are_kept_than_an_index_that_is_read_back_may_have() {
        let mut index = Index::new(u64::MAX);
        let id = |number: usize| ImageId::from_bytes((number as u128).to_be_bytes());
        for number in 0..MOST_ENTRIES {
            assert!(index.insert(id(number), entry(1)).is_empty());
        }
        let file = Arc::new(tempfile::tempfile().unwrap());
        index.hit(id(1), Arc::downgrade(&file), Timestamp::from_micros(0));
        let gone = index.insert(id(MOST_ENTRIES), entry(1));
        assert_eq!((gone.len(), index.used()), (1, MOST_ENTRIES as u64));
        assert!(index.get(id(0)).is_none() && index.get(id(MOST_ENTRIES)).is_some());
        index.restore(id(MOST_ENTRIES + 1), entry(1));
        assert_eq!(index.prune().len(), 1);
        assert!(index.get(id(1)).is_some() && index.get(id(2)).is_none());
    }
}
