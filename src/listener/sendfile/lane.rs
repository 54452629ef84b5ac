//! What the frames and the socket of one connection share.

use std::{
    fs::File,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::file_answer::FileAnswer;

/// The file that a connection is sending, and the account of it: bytes due (framed, not sent yet) and bytes unclaimed (sent,
/// and their frame does not know yet). A connection answers one request after the other, so that there is one file
/// at a time, and bytes leave in the order of their frames.
#[derive(Debug, Default)]
pub(in crate::listener) struct Lane {
    account: Mutex<Account>,
}

#[derive(Debug, Default)]
struct Account {
    /// Until all of it is sent and claimed: a connection that is kept holds no file open.
    answer: Option<UnderWay>,
    /// Where the next byte is in the file.
    next: u64,
    /// Bytes of the answer that are not sent yet, framed or not.
    left: u64,
    due: usize,
    unclaimed: usize,
    /// Bytes sent since the peer has last kept the socket waiting: to take bytes, or for its next request.
    at_a_stretch: u64,
    state: State,
}

/// Answers that all connections together are sending.
static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

/// An answer, counted among those under way.
#[derive(Debug)]
struct UnderWay {
    answer: FileAnswer,
}

impl UnderWay {
    fn new(answer: FileAnswer) -> Self {
        UNDER_WAY.fetch_add(1, Ordering::Relaxed);
        Self { answer }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether other files are sent at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Company {
    Alone,
    Others,
}

/// What is to come of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    More,
    Nothing,
}

/// So many bytes leave at a stretch before other connections have their turn; hyper asks a second time before it ends its own, so that
/// it is about twice as much: at 4 GB/s in 1 ms. Only a peer that takes them as fast as they are given gets as far. It is not less
/// because the runtime wakes another thread for each turn that is given up, which takes the connection to another processor.
pub(super) const TURN: u64 = 2 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Sound,
    /// What the peer has and what it should have may differ: nothing is sent any more.
    Broken,
}

/// The account does not add up: somebody has read what stands for the file, or has left some of it out.
#[derive(Debug, thiserror::Error)]
#[error("an answer was not sent as its frames were given out")]
pub(super) struct Broken;

/// What is to be sent next.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) file: Arc<File>,
    pub(super) offset: u64,
    /// At least one.
    pub(super) len: usize,
    /// All that is left of the answer, these bytes and what comes behind them.
    pub(super) left: u64,
    pub(super) company: Company,
}

impl Lane {
    /// From now on frames are of this answer.
    pub(super) fn begin(&self, answer: FileAnswer) -> Result<(), Broken> {
        let mut account = self.lock();
        if account.due != 0 || account.unclaimed != 0 {
            account.state = State::Broken;
        }
        account.check()?;
        account.next = answer.region().offset;
        account.left = answer.region().len;
        account.answer = Some(UnderWay::new(answer));
        Ok(())
    }

    /// A frame of as many bytes is given out.
    pub(super) fn promise(&self, len: usize) {
        let mut account = self.lock();
        account.due = account.due.saturating_add(len);
    }

    /// What has to be sent now, of the `len` bytes that the socket was asked for.
    pub(super) fn due(&self, len: usize) -> Result<Due, Broken> {
        let mut account = self.lock();
        if len == 0 || len > account.due {
            account.state = State::Broken;
        }
        account.check()?;
        let answer = &account.answer.as_ref().ok_or(Broken)?.answer;
        Ok(Due {
            file: answer.region().file.clone(),
            offset: account.next,
            len,
            left: account.left,
            company: match UNDER_WAY.load(Ordering::Relaxed) {
                0 | 1 => Company::Alone,
                _ => Company::Others,
            },
        })
    }

    /// The socket has taken as much of what was due; whether there is more of the answer.
    pub(super) fn sent(&self, len: usize) -> Rest {
        let mut account = self.lock();
        account.next = account.next.saturating_add(len as u64);
        account.left = account.left.saturating_sub(len as u64);
        account.due = account.due.saturating_sub(len);
        account.unclaimed = account.unclaimed.saturating_add(len);
        account.at_a_stretch = account.at_a_stretch.saturating_add(len as u64);
        if let Some(UnderWay { answer }) = &account.answer {
            answer.note_sent(len as u64);
        }
        match account.left {
            0 => Rest::Nothing,
            _ => Rest::More,
        }
    }

    /// The socket takes nothing for now: other connections have their turn.
    pub(super) fn kept_waiting(&self) {
        self.lock().at_a_stretch = 0;
    }

    /// The socket has brought nothing. If that is because the next request is yet to come, other connections have their turn. (While an answer
    /// is sent, it is looked at too, for the peer's end.)
    pub(super) fn brought_nothing(&self) {
        let mut account = self.lock();
        if account.answer.is_none() {
            account.at_a_stretch = 0;
        }
    }

    /// Whether so much has left at a stretch that it is others' turn. The next one begins with this answer.
    pub(super) fn ends_turn(&self) -> bool {
        let mut account = self.lock();
        let is_over = account.at_a_stretch >= TURN;
        if is_over {
            account.at_a_stretch = 0;
        }
        is_over
    }

    /// A frame was told that as many of its bytes are written.
    pub(super) fn claim(&self, len: usize) {
        let mut account = self.lock();
        match account.unclaimed.checked_sub(len) {
            Some(unclaimed) => account.unclaimed = unclaimed,
            None => account.state = State::Broken,
        }
        if account.left == 0 && account.due == 0 && account.unclaimed == 0 {
            account.answer = None;
        }
    }

    /// A frame was given up before its end.
    pub(super) fn give_up(&self) {
        let mut account = self.lock();
        account.state = State::Broken;
        account.answer = None;
    }

    /// Whether something else than frames may be sent.
    pub(super) fn check(&self) -> Result<(), Broken> {
        self.lock().check()
    }

    /// Every change of the account is complete before anything could panic.
    fn lock(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    fn check(&self) -> Result<(), Broken> {
        match self.state {
            State::Sound => Ok(()),
            State::Broken => Err(Broken),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use saccade_store_contract::FileRegion;

    #[test]
    fn a_turn_ends_after_so_many_bytes_or_when_the_peer_takes_none() {
        let lane = Lane::default();
        let file = Arc::new(tempfile::tempfile().unwrap());
        let len = 4 * TURN;
        lane.begin(FileAnswer::new(FileRegion { file, offset: 0, len }))
            .unwrap();
        let half = usize::try_from(TURN / 2).unwrap();
        assert_eq!(lane.sent(half), Rest::More);
        assert!(!lane.ends_turn());
        lane.kept_waiting();
        assert_eq!(lane.sent(half), Rest::More);
        assert!(!lane.ends_turn(), "the count began anew");
        lane.brought_nothing();
        assert_eq!(lane.sent(half), Rest::More);
        assert!(
            lane.ends_turn(),
            "an answer is under way: no request is waited for"
        );
        assert!(!lane.ends_turn(), "once, or the connection would never go on");
        assert_eq!(lane.sent(5 * half), Rest::Nothing);
    }
}
