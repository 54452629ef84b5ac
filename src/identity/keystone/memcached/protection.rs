//! `memcache_security_strategy`: names of entries, and what keeps them from being read and made up.
//!
//! Source: keystonemiddleware 13.0.1, `auth_token/_memcache_crypt.py` and `_cache.py`.

use base64::{Engine, engine::general_purpose::STANDARD};
use openssl::{
    error::ErrorStack,
    hash::MessageDigest,
    pkey::PKey,
    sign::Signer,
    symm::{self, Cipher},
};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::super::options::Protection;

/// HMAC-SHA384, whose output is also what the three keys are cut from.
const MAC_LENGTH: usize = 48;
/// Its base64 form, which stands before the data.
const MAC_TEXT_LENGTH: usize = 64;
/// Of a key and of a block of AES-128.
const BLOCK: usize = 16;

type Key = Zeroizing<[u8; BLOCK]>;

/// One token's entry: its name in memcached and the keys that belong to it alone.
pub(super) struct Entry {
    key: String,
    secrets: Secrets,
}

enum Secrets {
    None,
    Mac { mac: Key },
    Encrypt { mac: Key, encryption: Key },
}

/// Why an entry cannot be made or must not be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum ProtectionError {
    /// Someone wrote it who does not know `memcache_secret_key`, or it was damaged.
    #[error("its signature is wrong: it was not written with our memcache_secret_key")]
    Forged,
    /// The signature is right, what it signs is not.
    #[error("it is signed, but malformed")]
    Malformed,
    /// No randomness, no memory.
    #[error("the system's cryptography fails")]
    Unavailable,
}

impl From<ErrorStack> for ProtectionError {
    fn from(_: ErrorStack) -> Self {
        Self::Unavailable
    }
}

impl Entry {
    /// The entry of `token`.
    ///
    /// # Errors
    /// [`ProtectionError::Unavailable`].
    pub(super) fn of(token: &str, protection: &Protection) -> Result<Self, ProtectionError> {
        let (secret, strategy) = match protection {
            Protection::None => {
                return Ok(Self {
                    key: format!("tokens/{}", hex(&Sha256::digest(token))),
                    secrets: Secrets::None,
                });
            }
            // In capitals whatever the file says: keystonemiddleware takes `encrypt` for a strategy of its own that
            // encrypts nothing. Entries of such a service are not found here, which is safe.
            Protection::Mac(secret) => (secret, b"MAC".as_slice()),
            Protection::Encrypt(secret) => (secret, b"ENCRYPT".as_slice()),
        };
        let digest = hmac(secret.expose().as_bytes(), &[token.as_bytes(), strategy])?;
        let [name, mac, encryption] = thirds(&digest);
        Ok(Self {
            // `'tokens/%s' % bytes` of Python 3: the representation of a bytes object, quotes and all.
            key: format!("tokens/b'{}'", STANDARD.encode(*name)),
            secrets: match protection {
                Protection::Encrypt(_) => Secrets::Encrypt { mac, encryption },
                _ => Secrets::Mac { mac },
            },
        })
    }

    /// Its name in memcached.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// `body` as it is stored.
    ///
    /// # Errors
    /// [`ProtectionError::Unavailable`].
    pub(super) fn protect(&self, body: &[u8]) -> Result<Vec<u8>, ProtectionError> {
        let (mac, data) = match &self.secrets {
            Secrets::None => return Ok(body.to_vec()),
            Secrets::Mac { mac } => (mac, STANDARD.encode(body)),
            Secrets::Encrypt { mac, encryption } => {
                let mut sealed = vec![0; BLOCK];
                getrandom::fill(&mut sealed).map_err(|_| ProtectionError::Unavailable)?;
                let data = symm::encrypt(Cipher::aes_128_cbc(), encryption.as_slice(), Some(&sealed), body)?;
                sealed.extend_from_slice(&data);
                (mac, STANDARD.encode(sealed))
            }
        };
        let mut value = STANDARD
            .encode(hmac(mac.as_slice(), &[data.as_bytes()])?.as_slice())
            .into_bytes();
        value.extend_from_slice(data.as_bytes());
        Ok(value)
    }

    /// What was stored as `value`; with a secret, only what someone who knows it stored for this token.
    ///
    /// The signature is compared in constant time, and before anything that it signs is decoded.
    ///
    /// # Errors
    /// [`ProtectionError`].
    pub(super) fn unprotect(&self, value: Vec<u8>) -> Result<Vec<u8>, ProtectionError> {
        let mac = match &self.secrets {
            Secrets::None => return Ok(value),
            Secrets::Mac { mac } | Secrets::Encrypt { mac, .. } => mac,
        };
        let (provided, data) = value
            .split_at_checked(MAC_TEXT_LENGTH)
            .ok_or(ProtectionError::Forged)?;
        let calculated = STANDARD.encode(hmac(mac.as_slice(), &[data])?.as_slice());
        if !bool::from(calculated.as_bytes().ct_eq(provided)) {
            return Err(ProtectionError::Forged);
        }
        let data = STANDARD.decode(data).map_err(|_| ProtectionError::Malformed)?;
        let Secrets::Encrypt { encryption, .. } = &self.secrets else {
            return Ok(data);
        };
        let (iv, sealed) = data.split_at_checked(BLOCK).ok_or(ProtectionError::Malformed)?;
        symm::decrypt(Cipher::aes_128_cbc(), encryption.as_slice(), Some(iv), sealed)
            .map_err(|_| ProtectionError::Malformed)
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or_default();
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

fn hmac(key: &[u8], message: &[&[u8]]) -> Result<Zeroizing<[u8; MAC_LENGTH]>, ErrorStack> {
    let key = PKey::hmac(key)?;
    let mut signer = Signer::new(MessageDigest::sha384(), &key)?;
    for part in message {
        signer.update(part)?;
    }
    let mut mac = Zeroizing::new([0; MAC_LENGTH]);
    signer.sign(mac.as_mut_slice())?;
    Ok(mac)
}

fn thirds(digest: &[u8; MAC_LENGTH]) -> [Key; 3] {
    let mut keys: [Key; 3] = std::array::from_fn(|_| Zeroizing::new([0; BLOCK]));
    for (key, part) in keys.iter_mut().zip(digest.chunks_exact(BLOCK)) {
        key.copy_from_slice(part);
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::super::super::super::Secret;
    use super::*;
    use proptest::prelude::*;

    const BODY: &[u8] = br#"{"token": {"id": 1}}"#;

    fn mac() -> Protection {
        Protection::Mac(Secret::new("sécret key".into()))
    }

    fn encrypt() -> Protection {
        Protection::Encrypt(Secret::new("sécret key".into()))
    }

    /// Made with keystonemiddleware 13.0.1: `derive_keys`, `get_cache_key`, `protect_data`, and the keys as they
    /// stand in a memcached that its `SecureTokenCache` has written to.
    #[test]
    fn believes_what_keystonemiddleware_wrote() {
        let long = "a".repeat(300);
        for (token, protection, key, value) in [
            (
                "gAAAAABtoken",
                mac(),
                "tokens/b'f2PfrLPKY94aRSvddYsBig=='",
                "8qF+zRJy2dSr4dECstpa1u9aY+aRyT0cmAZh1nIeUsPevEcqwEOwh0B2Ivd9uIuPeyJ0b2tlbiI6IHsiaWQiOiAxfX0=",
            ),
            (
                "gAAAAABtoken",
                encrypt(),
                "tokens/b'SCAWeRKGbNNPH+ltM/EXzg=='",
                "6za2sba5vqD7HUZHCgNhem7LfMyDXMgxQ3MSzRPBuIFyccxeY80roQr+VvdIkPP1aE5uELObIOQlJxZObuOcFnexTaYcJEfuYqYlR6/hJuh4rZWPhjAT3+h9BHVwxVul",
            ),
            (
                long.as_str(),
                mac(),
                "tokens/b'ULDLc0ZW+zcJVIQdfxC3zw=='",
                "YOgeHwkMbhYBlUfUlSoFcOG/WgO9/4D/yHGeG1Z1V2hZSC86psKZm+rD9Y9KNgyheyJ0b2tlbiI6IHsiaWQiOiAxfX0=",
            ),
            (
                long.as_str(),
                encrypt(),
                "tokens/b'bsCpIGN883OFM4nlK+5NXQ=='",
                "T/3vxx99oGX7QDP2cSSD2n3Dfrnl1/AYbyYxgHgMxbdaj5luFoTGwhpUI+hPI/VI4+3+2o0TOVeo3TB/2UGneY3cuRtoHCtqDQSKonve7B1g/BVMAbmd7yK1L/DlrndV",
            ),
        ] {
            let entry = Entry::of(token, &protection).unwrap();
            assert_eq!(entry.key(), key);
            assert_eq!(entry.unprotect(value.into()).unwrap(), BODY);
        }
    }

    /// Made with keystonemiddleware 13.0.1, strategies None and MAC (ENCRYPT is different every time).
    #[test]
    fn writes_what_keystonemiddleware_writes() {
        let plain = Entry::of("gAAAA-token", &Protection::None).unwrap();
        assert_eq!(
            plain.key(),
            "tokens/119a7ec1e1d2952f7853449fd77dad08fa982be12cff87d34cd7cb8d1aeb7351"
        );
        assert_eq!(plain.protect(BODY).unwrap(), BODY);
        assert_eq!(
            Entry::of("gAAAAABtoken", &mac()).unwrap().protect(BODY).unwrap(),
            b"8qF+zRJy2dSr4dECstpa1u9aY+aRyT0cmAZh1nIeUsPevEcqwEOwh0B2Ivd9uIuPeyJ0b2tlbiI6IHsiaWQiOiAxfX0="
        );
    }

    #[test]
    fn encryption_never_repeats_itself_nor_shows_what_it_hides() {
        let entry = Entry::of("token", &encrypt()).unwrap();
        let (one, other) = (entry.protect(BODY).unwrap(), entry.protect(BODY).unwrap());
        assert_ne!(one, other);
        assert!(
            !STANDARD
                .decode(&one[MAC_TEXT_LENGTH..])
                .unwrap()
                .windows(5)
                .any(|bytes| bytes == b"token")
        );
    }

    /// What `bytes` becomes when someone who knows the secret signs it.
    fn signed(entry: &Entry, data: &str) -> Vec<u8> {
        let (Secrets::Mac { mac } | Secrets::Encrypt { mac, .. }) = &entry.secrets else {
            panic!("unsigned");
        };
        let mut value = STANDARD.encode(hmac(mac.as_slice(), &[data.as_bytes()]).unwrap().as_slice());
        value.push_str(data);
        value.into()
    }

    #[test]
    fn what_is_signed_must_be_well_formed_all_the_same() {
        let entry = Entry::of("token", &encrypt()).unwrap();
        for data in [
            String::new(),
            "!".into(),
            "AAA".into(),
            "AA\nAA".into(),
            STANDARD.encode([0; 15]),
            STANDARD.encode([0; 16]),
            STANDARD.encode([0; 31]),
            STANDARD.encode([7; 32]),
        ] {
            assert_eq!(
                entry.unprotect(signed(&entry, &data)),
                Err(ProtectionError::Malformed),
                "{data}"
            );
        }
    }

    #[test]
    fn an_entry_is_good_for_its_token_strategy_and_secret_alone() {
        let value = Entry::of("token", &mac()).unwrap().protect(BODY).unwrap();
        for other in [
            Entry::of("token2", &mac()),
            Entry::of("token", &encrypt()),
            Entry::of("token", &Protection::Mac(Secret::new("other".into()))),
        ] {
            assert_eq!(
                other.unwrap().unprotect(value.clone()),
                Err(ProtectionError::Forged)
            );
        }
    }

    proptest! {
        #[test]
        fn everything_comes_back(body: Vec<u8>, token in "\\PC{1,40}") {
            for protection in [Protection::None, mac(), encrypt()] {
                let entry = Entry::of(&token, &protection).unwrap();
                prop_assert_eq!(&entry.unprotect(entry.protect(&body).unwrap()).unwrap(), &body);
            }
        }

        #[test]
        fn a_changed_byte_is_noticed(index: prop::sample::Index, flip in 1u8..) {
            for protection in [mac(), encrypt()] {
                let entry = Entry::of("token", &protection).unwrap();
                let mut value = entry.protect(BODY).unwrap();
                let at = index.index(value.len());
                value[at] ^= flip;
                prop_assert_eq!(entry.unprotect(value), Err(ProtectionError::Forged));
            }
        }

        #[test]
        fn arbitrary_bytes_are_forged(value: Vec<u8>) {
            for protection in [mac(), encrypt()] {
                prop_assert_eq!(
                    Entry::of("token", &protection).unwrap().unprotect(value.clone()),
                    Err(ProtectionError::Forged)
                );
            }
        }
    }
}
