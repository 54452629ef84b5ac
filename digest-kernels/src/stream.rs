//! A stream being hashed: words, a length, and less than a block of bytes.

/// The state of a hash of `R` words over blocks of `B` bytes. Made by [`Kernels`](crate::Kernels), and worth something to those of
/// the same hash alone.
#[derive(Clone)]
pub struct Stream<W, const R: usize, const B: usize> {
    pub(crate) state: [W; R],
    pub(crate) tail: [u8; B],
    /// How much of the tail there is: less than a block.
    pub(crate) tail_len: usize,
    /// Bytes hashed, the tail included.
    pub(crate) length: u128,
    /// Length of the digest in bytes: some hashes are others cut short.
    pub(crate) digest_len: usize,
}

/// A stream, and the bytes that come next in it.
pub struct Job<'a, W, const R: usize, const B: usize> {
    pub(crate) stream: &'a mut Stream<W, R, B>,
    pub(crate) rest: &'a [u8],
}

impl<'a, W, const R: usize, const B: usize> Job<'a, W, R, B> {
    /// What is to be hashed after all that was hashed of the stream.
    pub fn new(stream: &'a mut Stream<W, R, B>, bytes: &'a [u8]) -> Self {
        Self { stream, rest: bytes }
    }

    /// Whole blocks of the rest.
    pub(crate) fn blocks(&self) -> usize {
        self.rest.len() / B
    }

    /// Takes the bytes into the stream's length, and as many of them as complete the tail. The block that is complete then is
    /// hashed; what follows stays the rest.
    pub(crate) fn complete_tail(&mut self, compress: impl Fn(&mut [W; R], &[u8])) {
        self.stream.length += self.rest.len() as u128;
        if self.stream.tail_len == 0 {
            return;
        }
        let missing = B.saturating_sub(self.stream.tail_len);
        let (taken, rest) = self.rest.split_at(missing.min(self.rest.len()));
        self.rest = rest;
        self.stream.append(taken);
        if self.stream.tail_len == B {
            compress(&mut self.stream.state, &self.stream.tail);
            self.stream.tail_len = 0;
        }
    }

    /// Keeps what is less than a block.
    pub(crate) fn keep_tail(&mut self) {
        self.stream.append(std::mem::take(&mut self.rest));
    }
}

impl<W, const R: usize, const B: usize> Stream<W, R, B> {
    fn append(&mut self, bytes: &[u8]) {
        let end = self.tail_len + bytes.len();
        if let Some(room) = self.tail.get_mut(self.tail_len..end) {
            room.copy_from_slice(bytes);
            self.tail_len = end;
        }
    }
}

impl<W, const R: usize, const B: usize> std::fmt::Debug for Stream<W, R, B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream")
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

impl<W, const R: usize, const B: usize> std::fmt::Debug for Job<'_, W, R, B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job")
            .field("stream", &self.stream)
            .field("bytes", &self.rest.len())
            .finish_non_exhaustive()
    }
}
