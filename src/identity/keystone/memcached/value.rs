//! What kinds of values there are: the flags that Python's two clients keep beside them.

use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;

use super::{
    placement::Placement,
    wire::{MAX_VALUE, Value},
};

/// python-memcached and keystonemiddleware before Python 3.
const NONE: u32 = 0;
/// zlib.
const COMPRESSED: u32 = 1 << 3;
/// `_FLAG_TEXT` of python-memcached, `binary` of python-binary-memcached; bytes as they are in both.
const BYTES: u32 = 1 << 4;

/// A value that none of ours has written: a pickle, a number, too much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not the kind of value that a token is kept in (flags {0})")]
pub(super) struct UnknownKind(u32);

/// The flags that keystonemiddleware's client, whichever it is, would write bytes with.
pub(super) fn flags(placement: Placement) -> u32 {
    match placement {
        Placement::Hashed => NONE,
        Placement::Replicated => BYTES,
    }
}

/// The bytes that were stored. Never more than [`MAX_VALUE`], never unpickled.
///
/// # Errors
/// [`UnknownKind`].
pub(super) fn bytes(value: Value, placement: Placement) -> Result<Vec<u8>, UnknownKind> {
    let unknown = UnknownKind(value.flags);
    match (value.flags & !COMPRESSED, value.flags & COMPRESSED, placement) {
        (NONE | BYTES, 0, _) => Ok(value.data),
        // python-binary-memcached compresses on its own; python-memcached when told to, which keystonemiddleware
        // does not.
        (NONE | BYTES, COMPRESSED, Placement::Replicated) => {
            decompress_to_vec_zlib_with_limit(&value.data, MAX_VALUE).map_err(|_| unknown)
        }
        _ => Err(unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::{Engine, engine::general_purpose::STANDARD};
    use miniz_oxide::deflate::compress_to_vec_zlib;

    fn read(flags: u32, data: &[u8], placement: Placement) -> Option<Vec<u8>> {
        let value = Value {
            data: data.into(),
            flags,
            remaining: None,
        };
        bytes(value, placement).ok()
    }

    #[test]
    fn bytes_and_text_are_taken_as_they_are() {
        for placement in [Placement::Hashed, Placement::Replicated] {
            for flags in [0, 16] {
                assert_eq!(read(flags, b"{}", placement).as_deref(), Some(b"{}".as_slice()));
            }
        }
    }

    #[test]
    fn pickles_numbers_and_unknown_flags_are_not_touched() {
        for placement in [Placement::Hashed, Placement::Replicated] {
            for flags in [1, 2, 4, 9, 17, 25, 32, 48, u32::MAX] {
                assert_eq!(read(flags, b"{}", placement), None, "{flags}");
            }
        }
    }

    /// Made with python-binary-memcached 0.33: `Protocol.serialize(b'{"token": {"a": "' + b'a' * 200 + b'"}}')`, which
    /// gives flags 24.
    #[test]
    fn what_python_binary_memcached_compressed_is_read() {
        let value = STANDARD
            .decode("eJyrVirJz07NU7JSqFZKBJJKicMEKNXWAgCv11G7")
            .unwrap();
        let body = format!(r#"{{"token": {{"a": "{}"}}}}"#, "a".repeat(200)).into_bytes();
        assert_eq!(read(24, &value, Placement::Replicated), Some(body.clone()));
        assert_eq!(read(8, &value, Placement::Replicated), Some(body));
        assert_eq!(read(24, &value, Placement::Hashed), None);
        assert_eq!(read(24, &value[..value.len() - 1], Placement::Replicated), None);
        assert_eq!(read(24, b"", Placement::Replicated), None);
    }

    #[test]
    fn a_small_value_does_not_become_a_large_one() {
        let bomb = |size| compress_to_vec_zlib(&vec![b' '; size], 9);
        assert!(read(24, &bomb(MAX_VALUE), Placement::Replicated).is_some());
        assert!(read(24, &bomb(MAX_VALUE + 1), Placement::Replicated).is_none());
        assert!(read(24, &bomb(10 * MAX_VALUE), Placement::Replicated).is_none());
    }
}
