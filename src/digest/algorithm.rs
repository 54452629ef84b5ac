//! The hash algorithms, by the names Python's hashlib gives them.

use std::fmt;
use std::str::FromStr;

/// A hash algorithm that an image's content may be hashed with.
///
/// Parsed from the name hashlib knows it by, without regard to ASCII case (hashlib takes `SHA512` for `sha512`);
/// displayed as the name hashlib itself reports, which is what belongs in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// MD5: Glance's `checksum`.
    Md5,
    /// SHA-1.
    Sha1,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512: Glance's default `hashing_algorithm`.
    Sha512,
    /// SHA3-224.
    Sha3_224,
    /// SHA3-256.
    Sha3_256,
    /// SHA3-384.
    Sha3_384,
    /// SHA3-512.
    Sha3_512,
    /// BLAKE2b with a 64-byte digest, hashlib's default.
    Blake2b,
    /// BLAKE2s with a 32-byte digest, hashlib's default.
    Blake2s,
    /// BLAKE3 with a 32-byte digest. Not in hashlib: Python clients cannot verify it without the `blake3` package.
    Blake3,
}

impl Algorithm {
    /// Every algorithm, in the order messages list them.
    pub const ALL: [Self; 13] = [
        Self::Md5,
        Self::Sha1,
        Self::Sha224,
        Self::Sha256,
        Self::Sha384,
        Self::Sha512,
        Self::Sha3_224,
        Self::Sha3_256,
        Self::Sha3_384,
        Self::Sha3_512,
        Self::Blake2b,
        Self::Blake2s,
        Self::Blake3,
    ];

    /// The length of its digests in hexadecimal digits.
    pub const fn hex_digits(self) -> usize {
        match self {
            Self::Md5 => 32,
            Self::Sha1 => 40,
            Self::Sha224 | Self::Sha3_224 => 56,
            Self::Sha256 | Self::Sha3_256 | Self::Blake2s | Self::Blake3 => 64,
            Self::Sha384 | Self::Sha3_384 => 96,
            Self::Sha512 | Self::Sha3_512 | Self::Blake2b => 128,
        }
    }

    /// The name hashlib reports for this algorithm.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha224 => "sha224",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
            Self::Sha3_224 => "sha3_224",
            Self::Sha3_256 => "sha3_256",
            Self::Sha3_384 => "sha3_384",
            Self::Sha3_512 => "sha3_512",
            Self::Blake2b => "blake2b",
            Self::Blake2s => "blake2s",
            Self::Blake3 => "blake3",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, UnknownAlgorithm> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| UnknownAlgorithm {
                name: name.to_owned(),
            })
    }
}

/// The name is not that of an algorithm we hash with. The message lists those that are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownAlgorithm {
    name: String,
}

impl fmt::Display for UnknownAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        if name.to_ascii_lowercase().starts_with("shake") {
            write!(
                f,
                "hash algorithm {name:?} has no digest length of its own; use one of"
            )?;
        } else {
            write!(f, "unknown hash algorithm {name:?}; use one of")?;
        }
        for (index, algorithm) in Algorithm::ALL.into_iter().enumerate() {
            write!(f, "{} {algorithm}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownAlgorithm {}

#[cfg(test)]
mod tests {
    use super::Algorithm;

    #[test]
    fn every_name_parses_back_in_any_case() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
            assert_eq!(algorithm.name().to_uppercase().parse(), Ok(algorithm));
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_known_ones() {
        for name in ["", "sha", "sha5120", " sha512", "sha512\n", "crc32", "md5-sha1"] {
            let message = name.parse::<Algorithm>().unwrap_err().to_string();
            assert!(
                message.starts_with(&format!("unknown hash algorithm {name:?}")),
                "{message}"
            );
            for algorithm in Algorithm::ALL {
                assert!(message.contains(algorithm.name()), "{message}");
            }
        }
    }

    #[test]
    fn shake_is_refused_for_want_of_a_length() {
        for name in ["shake_128", "SHAKE_256", "shake128"] {
            let message = name.parse::<Algorithm>().unwrap_err().to_string();
            assert!(message.contains("no digest length of its own"), "{message}");
        }
    }
}
