//! Bounded reading of header fields: every read is checked, nothing is indexed.

/// The bytes ended inside the field that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Short;

/// A cursor over bytes from outside.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// A cursor at `offset`, which may lie past the end: the next read then fails.
    pub(super) fn at(bytes: &'a [u8], offset: u64) -> Self {
        Self {
            bytes,
            position: usize::try_from(offset).unwrap_or(usize::MAX),
        }
    }

    pub(super) fn position(&self) -> u64 {
        self.position as u64
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Short> {
        let end = self.position.checked_add(length).ok_or(Short)?;
        let field = self.bytes.get(self.position..end).ok_or(Short)?;
        self.position = end;
        Ok(field)
    }

    pub(super) fn skip(&mut self, length: usize) -> Result<(), Short> {
        self.take(length).map(drop)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Short> {
        self.take(N)?.try_into().map_err(|_| Short)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Short> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn be_u16(&mut self) -> Result<u16, Short> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn be_u32(&mut self) -> Result<u32, Short> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn be_u64(&mut self) -> Result<u64, Short> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn le_u16(&mut self) -> Result<u16, Short> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn le_u32(&mut self) -> Result<u32, Short> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn le_u64(&mut self) -> Result<u64, Short> {
        self.array().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_in_order_and_fails_at_the_end_without_moving() {
        let mut reader = Reader::new(&[0, 0, 0, 7, 8, 0, 0]);
        assert_eq!(reader.be_u32(), Ok(7));
        assert_eq!(reader.le_u32(), Err(Short));
        assert_eq!(reader.position(), 4);
        assert_eq!(reader.take(3), Ok(&[8, 0, 0][..]));
    }

    #[test]
    fn an_offset_past_any_memory_is_short() {
        let mut reader = Reader::at(&[1, 2, 3], u64::MAX);
        assert_eq!(reader.take(1), Err(Short));
        assert_eq!(reader.take(usize::MAX), Err(Short));
    }
}
