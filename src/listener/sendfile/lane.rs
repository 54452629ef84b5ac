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
    answer: Option<FileAnswer>,
    /// Where the next byte is in the file.
    next: u64,
    due: usize,
    unclaimed: usize,
    way: Way,
    state: State,
}

/// How bytes come from the file to the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Way {
    #[default]
    Sendfile,
    /// By way of memory: the file system knows no sendfile.
    Copy,
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
    pub(super) way: Way,
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
        account.answer = Some(answer);
        account.way = Way::default();
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
            way: account.way,
        })
    }

    /// The socket has taken as much of what was due.
    pub(super) fn sent(&self, len: usize) {
        let mut account = self.lock();
        account.next = account.next.saturating_add(len as u64);
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
    }

    /// A frame was given up before its end, or looked into.
    pub(super) fn give_up(&self) {
        self.lock().state = State::Broken;
    }

    /// The rest of this answer goes by way of memory.
    pub(super) fn copy(&self) {
        self.lock().way = Way::Copy;
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
