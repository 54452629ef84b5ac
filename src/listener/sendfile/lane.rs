//! What the frames and the socket of one connection share.

use std::{
    fs::File,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
    answer: Option<FileAnswer>,
    /// Where the next byte is in the file.
    next: u64,
    /// Bytes of the answer that are not sent yet, framed or not.
    left: u64,
    due: usize,
    unclaimed: usize,
    state: State,
}

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
        account.answer = Some(answer);
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
        let answer = account.answer.as_ref().ok_or(Broken)?;
        Ok(Due {
            file: answer.region().file.clone(),
            offset: account.next,
            len,
        })
    }

    /// The socket has taken as much of what was due.
    pub(super) fn sent(&self, len: usize) {
        let mut account = self.lock();
        account.next = account.next.saturating_add(len as u64);
        account.left = account.left.saturating_sub(len as u64);
        account.due = account.due.saturating_sub(len);
        account.unclaimed = account.unclaimed.saturating_add(len);
        if let Some(answer) = &account.answer {
            answer.note_sent(len as u64);
        }
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
