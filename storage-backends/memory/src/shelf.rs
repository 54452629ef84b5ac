//! What outlives a store: blobs, and what attempts have left.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use saccade_store_contract::{Attempt, BlobName, Capacity, Error, ErrorKind, Operation, Result};

/// Zeroes are read in chunks of this many bytes.
const ZEROES: &[u8] = &[0; 64 << 10];

/// What outlives a [`crate::MemoryStore`]: published blobs, and what attempts have left.
#[derive(Debug, Default)]
pub struct Shelf {
    total: Option<u64>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    blobs: BTreeMap<BlobName, Published>,
    attempts: BTreeMap<AttemptKey, Vec<Piece>>,
    /// The writers there are; `true` once their attempt was discarded.
    writers: BTreeMap<AttemptKey, Weak<AtomicBool>>,
}

#[derive(Debug)]
struct Published {
    pieces: Vec<Piece>,
    /// Who has published it, until that is settled.
    by: Option<Attempt>,
}

/// One attempt on one blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AttemptKey {
    pub(crate) name: BlobName,
    pub(crate) attempt: Attempt,
}

/// Consecutive bytes.
#[derive(Debug, Clone)]
pub(crate) enum Piece {
    Bytes(Bytes),
    Zeroes(u64),
}

impl Piece {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Self::Zeroes(len) => *len,
        }
    }

    /// The bytes, zeroes in many small chunks.
    pub(crate) fn into_chunks(self) -> impl Iterator<Item = Bytes> + Send {
        let (bytes, zeroes) = match self {
            Self::Bytes(bytes) => (Some(bytes), 0),
            Self::Zeroes(len) => (None, len),
        };
        let mut left = zeroes;
        let zeroes = std::iter::from_fn(move || {
            let want = usize::try_from(left).unwrap_or(usize::MAX);
            let chunk = Bytes::from_static(ZEROES.get(..want).unwrap_or(ZEROES));
            left = left.saturating_sub(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
            (!chunk.is_empty()).then_some(chunk)
        });
        bytes.into_iter().chain(zeroes)
    }

    fn slice(&self, range: Range<u64>) -> Self {
        match self {
            Self::Bytes(bytes) => {
                let end = usize::try_from(range.end).unwrap_or(usize::MAX).min(bytes.len());
                let start = usize::try_from(range.start).unwrap_or(usize::MAX).min(end);
                Self::Bytes(bytes.slice(start..end))
            }
            Self::Zeroes(_) => Self::Zeroes(range.end.saturating_sub(range.start)),
        }
    }
}

/// What of the pieces is in a range, cut to their end.
pub(crate) fn cut(pieces: &[Piece], range: Range<u64>) -> Vec<Piece> {
    let mut at = 0u64;
    let mut cut = Vec::new();
    for piece in pieces {
        let end = at.saturating_add(piece.len());
        let (from, to) = (range.start.max(at), range.end.min(end));
        if from < to {
            cut.push(piece.slice(from.saturating_sub(at)..to.saturating_sub(at)));
        }
        at = end;
    }
    cut
}

impl Shelf {
    /// An empty shelf without bounds.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// An empty shelf with room for `total` bytes.
    pub fn with_room(total: u64) -> Arc<Self> {
        Arc::new(Self {
            total: Some(total),
            state: Mutex::default(),
        })
    }

    /// Everything on it, one line for each blob and each attempt.
    pub fn inventory(&self) -> Vec<String> {
        let state = self.state();
        let blobs = state.blobs.iter().map(|(name, blob)| match blob.by {
            Some(attempt) => format!("blob {name} by {attempt}, not settled"),
            None => format!("blob {name}"),
        });
        let attempts = state
            .attempts
            .keys()
            .map(|key| format!("attempt {} on {}", key.attempt, key.name));
        blobs.chain(attempts).collect()
    }

    /// Puts a blob there as somebody else would, replacing what is.
    pub fn plant(&self, name: BlobName, bytes: Bytes) {
        let pieces = vec![Piece::Bytes(bytes)];
        self.state().blobs.insert(name, Published { pieces, by: None });
    }

    pub(crate) fn capacity(&self) -> Option<Capacity> {
        let total = self.total?;
        let free = total.saturating_sub(self.state().used());
        Some(Capacity { total, free })
    }

    pub(crate) fn writer(&self, key: AttemptKey) -> Arc<AtomicBool> {
        let discarded = Arc::new(AtomicBool::new(false));
        let mut state = self.state();
        state.writers.retain(|_, writer| writer.strong_count() > 0);
        state.writers.insert(key, Arc::downgrade(&discarded));
        discarded
    }

    pub(crate) fn append(&self, key: AttemptKey, discarded: &AtomicBool, piece: Piece) -> Result<()> {
        let fail = |kind| Err(Error::new(kind, Operation::Write, key.name.to_string()));
        let mut state = self.state();
        if discarded.load(Ordering::Relaxed) {
            return fail(ErrorKind::Unavailable);
        }
        let used = state.used().checked_add(piece.len());
        if used.is_none_or(|used| self.total.is_some_and(|total| used > total)) {
            return fail(ErrorKind::Full);
        }
        state.attempts.entry(key).or_default().push(piece);
        Ok(())
    }

    pub(crate) fn publish(&self, key: AttemptKey, discarded: &AtomicBool) -> Result<()> {
        let fail = |kind| Err(Error::new(kind, Operation::Commit, key.name.to_string()));
        let mut state = self.state();
        if discarded.load(Ordering::Relaxed) {
            return fail(ErrorKind::Unavailable);
        }
        if state.blobs.contains_key(&key.name) {
            return fail(ErrorKind::Exists);
        }
        let pieces = state.attempts.remove(&key).unwrap_or_default();
        let by = Some(key.attempt);
        state.blobs.insert(key.name, Published { pieces, by });
        Ok(())
    }

    pub(crate) fn discard(&self, key: AttemptKey) {
        let mut state = self.state();
        if let Some(writer) = state.writers.get(&key).and_then(Weak::upgrade) {
            writer.store(true, Ordering::Relaxed);
        }
        state.attempts.remove(&key);
        let ours = |blob: &Published| blob.by == Some(key.attempt);
        if state.blobs.get(&key.name).is_some_and(ours) {
            state.blobs.remove(&key.name);
        }
    }

    pub(crate) fn settle(&self, key: AttemptKey) {
        let mut state = self.state();
        state.attempts.remove(&key);
        if let Some(blob) = state.blobs.get_mut(&key.name)
            && blob.by == Some(key.attempt)
        {
            blob.by = None;
        }
    }

    pub(crate) fn blob(&self, name: BlobName, operation: Operation) -> Result<Vec<Piece>> {
        let state = self.state();
        let blob = state.blobs.get(&name).map(|blob| blob.pieces.clone());
        blob.ok_or_else(|| Error::new(ErrorKind::NotFound, operation, name.to_string()))
    }

    pub(crate) fn delete(&self, name: BlobName) -> Result<()> {
        match self.state().blobs.remove(&name) {
            Some(_) => Ok(()),
            None => Err(Error::new(
                ErrorKind::NotFound,
                Operation::Delete,
                name.to_string(),
            )),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn used(&self) -> u64 {
        let published = self.blobs.values().flat_map(|blob| &blob.pieces);
        let unfinished = self.attempts.values().flatten();
        published
            .chain(unfinished)
            .map(Piece::len)
            .fold(0, u64::saturating_add)
    }
}
