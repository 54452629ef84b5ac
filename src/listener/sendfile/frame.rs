//! What hyper holds in place of bytes of a file.

use super::lane::Lane;
use axum::body::Body;
use bytes::{Buf, Bytes};
use std::{
    io::IoSlice,
    sync::{Arc, LazyLock},
};

/// The longest frame, in bytes: so much is looked up in the page cache at once.
pub(super) const LONGEST: usize = 1 << 20;

/// What frames show instead of their bytes. Nobody reads it, so that it takes no memory but addresses.
static STAND_IN: LazyLock<Box<[u8]>> = LazyLock::new(|| vec![0; LONGEST].into_boxed_slice());

/// Whether this is to be written by sending the file.
pub(super) fn stands_for_file(slice: &[u8]) -> bool {
    !slice.is_empty() && STAND_IN.as_ptr_range().contains(&slice.as_ptr())
}

/// As many slices stand for the file at the beginning of `slices`; how long they are together.
pub(super) fn leading(slices: &[IoSlice<'_>]) -> usize {
    slices
        .iter()
        .take_while(|slice| stands_for_file(slice))
        .fold(0, |sum, slice| sum.saturating_add(slice.len()))
}

/// The data of a response.
#[derive(Debug)]
pub(in crate::listener) enum Payload {
    Memory(Bytes),
    File(FileFrame),
}

/// The next bytes of the lane's file. Not to be read: that breaks the lane.
#[derive(Debug)]
pub(in crate::listener) struct FileFrame {
    lane: Arc<Lane>,
    remaining: usize,
    /// Kept until the last byte has gone.
    _whole: Option<Body>,
}

impl FileFrame {
    /// Takes at most [`LONGEST`] bytes; `whole` goes when the frame has gone.
    pub(super) fn new(lane: Arc<Lane>, len: usize, whole: Option<Body>) -> Self {
        let remaining = len.min(LONGEST);
        lane.promise(remaining);
        Self {
            lane,
            remaining,
            _whole: whole,
        }
    }
}

impl Drop for FileFrame {
    fn drop(&mut self) {
        if self.remaining > 0 {
            self.lane.give_up();
        }
    }
}

impl Buf for FileFrame {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn chunk(&self) -> &[u8] {
        STAND_IN.get(..self.remaining).unwrap_or_default()
    }

    fn advance(&mut self, len: usize) {
        self.lane.claim(len);
        self.remaining = self.remaining.saturating_sub(len);
    }
}

impl Buf for Payload {
    fn remaining(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.remaining(),
            Self::File(frame) => frame.remaining(),
        }
    }

    fn chunk(&self) -> &[u8] {
        match self {
            Self::Memory(bytes) => bytes.chunk(),
            Self::File(frame) => frame.chunk(),
        }
    }

    fn advance(&mut self, len: usize) {
        match self {
            Self::Memory(bytes) => bytes.advance(len),
            Self::File(frame) => frame.advance(len),
        }
    }
}
