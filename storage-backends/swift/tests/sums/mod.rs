//! Whoever hashes a blob before it is written, and its segments with it, as the daemon does.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use futures_util::{FutureExt, future::BoxFuture};
use md5::{Digest, Md5};
use saccade_store_contract::{BlobWriter, PartLengths, PartSums};
use tokio::sync::watch;

pub(crate) struct Sums {
    state: Mutex<State>,
    /// Of the parts that are hashed; `None`: no more will be.
    hashed: watch::Sender<Option<Vec<String>>>,
}

struct State {
    lengths: PartLengths,
    md5: Md5,
    number: u64,
    start: u64,
    position: u64,
}

impl Sums {
    /// Those that this writer is told from now on.
    pub(crate) fn of(writer: &mut dyn BlobWriter) -> Arc<Self> {
        let sums = Arc::new(Self {
            state: Mutex::new(State {
                lengths: writer.parts().expect("it has parts"),
                md5: Md5::new(),
                number: 1,
                start: 0,
                position: 0,
            }),
            hashed: watch::Sender::new(Some(Vec::new())),
        });
        writer.use_sums(Arc::clone(&sums) as Arc<dyn PartSums>);
        sums
    }

    pub(crate) fn push(&self, mut bytes: &[u8]) {
        let mut state = self.state.lock().unwrap();
        while !bytes.is_empty() {
            let length = (state.lengths)(state.number);
            let end = length.map_or(u64::MAX, |length| state.start + length);
            let room = usize::try_from(end - state.position).unwrap_or(usize::MAX);
            let (taken, rest) = bytes.split_at(room.min(bytes.len()));
            state.md5.update(taken);
            state.position += taken.len() as u64;
            bytes = rest;
            if state.position == end {
                self.end(&mut state);
            }
        }
    }

    /// There are no more bytes.
    pub(crate) fn finish(&self) {
        let mut state = self.state.lock().unwrap();
        if state.start < state.position || state.position == 0 {
            self.end(&mut state);
        }
    }

    /// Nobody hashes any more.
    pub(crate) fn give_up(&self) {
        self.hashed.send_replace(None);
    }

    fn end(&self, state: &mut State) {
        let sum = std::mem::take(&mut state.md5).finalize();
        let sum = sum.iter().map(|byte| format!("{byte:02x}")).collect();
        self.hashed.send_modify(|hashed| {
            if let Some(sums) = hashed {
                sums.push(sum);
            }
        });
        state.number += 1;
        state.start = state.position;
    }
}

impl PartSums for Sums {
    fn md5(&self, number: u64) -> BoxFuture<'static, Option<String>> {
        let index = usize::try_from(number - 1).unwrap();
        let mut hashed = self.hashed.subscribe();
        let sum = async move {
            let known = hashed.wait_for(|hashed| hashed.as_ref().is_none_or(|sums| sums.len() > index));
            known.await.ok()?.as_ref()?.get(index).cloned()
        };
        sum.boxed()
    }

    fn end_part(&self, at: u64) -> bool {
        let mut state = self.state.lock().unwrap();
        let ends = state.position == at && state.start < at;
        if ends {
            self.end(&mut state);
        }
        ends
    }
}

impl fmt::Debug for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sums").finish_non_exhaustive()
    }
}
