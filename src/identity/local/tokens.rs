//! Tokens: what one stands for, how it is named in the database, and which were seen lately.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};

use super::model::{ProjectId, UserId};

/// Characters of a token: 32 random bytes in unpadded URL-safe base64.
const TOKEN_CHARS: usize = 43;

/// What a token is known by at rest: whoever reads the database cannot use what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenHash([u8; 32]);

impl TokenHash {
    /// The hash of a token that has the right shape; `None` for what we cannot have issued, at no further cost.
    pub(super) fn of(token: &str) -> Option<Self> {
        let shaped = token.len() == TOKEN_CHARS
            && token
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        shaped.then(|| Self(Sha256::digest(token.as_bytes()).into()))
    }

    pub(super) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// How the user proved who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// A password.
    Password,
    /// Another token, that came of a password.
    PasswordThenToken,
}

/// What a token stands for. Roles are not in it: they are looked up at each use, so that taking one away works at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Whose it is.
    pub user: UserId,
    /// What it is scoped to; `None` when unscoped.
    pub project: Option<ProjectId>,
    /// When it was made, in seconds since 1970.
    pub issued_at: u64,
    /// From when on it is void, in seconds since 1970.
    pub expires_at: u64,
    /// How it came about.
    pub method: Method,
    /// Names the token in logs, without being it.
    pub audit: [u8; 16],
    /// The same of the first token of the chain, when this one came of another.
    pub audit_chain: Option<[u8; 16]>,
    /// The user's generation when it was issued.
    pub(super) generation: u32,
}

/// Tokens that were valid when last looked up: a bounded map in two halves.
///
/// When the young half is full it becomes the old one, and the old one is dropped: what is used stays, at O(1) and
/// without a list through the entries. Holds at most `2 * HALF` entries of about 200 bytes. Unknown tokens are never
/// put in, so random ones cannot push out real ones.
#[derive(Debug, Default)]
pub(super) struct TokenCache {
    halves: Mutex<Halves>,
}

#[derive(Debug, Default)]
struct Halves {
    young: HashMap<TokenHash, Token>,
    old: HashMap<TokenHash, Token>,
    revocations: u64,
}

const HALF: usize = 2048;

/// Taken before the database is read: proves that no revocation came between reading and remembering.
#[derive(Debug, Clone, Copy)]
pub(super) struct Epoch(u64);

impl TokenCache {
    fn lock(&self) -> MutexGuard<'_, Halves> {
        // Every critical section leaves the maps whole, so a panic elsewhere does not spoil them.
        self.halves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token, or what to hand to [`Self::insert`] after looking in the database.
    pub(super) fn lookup(&self, hash: &TokenHash) -> Result<Token, Epoch> {
        let mut halves = self.lock();
        if let Some(token) = halves.young.get(hash) {
            return Ok(token.clone());
        }
        match halves.old.remove(hash) {
            Some(token) => {
                halves.put(*hash, token.clone());
                Ok(token)
            }
            None => Err(Epoch(halves.revocations)),
        }
    }

    /// Remembers a token, unless something was revoked since `epoch`: it may have been this one.
    pub(super) fn insert(&self, hash: TokenHash, token: Token, epoch: Epoch) {
        let mut halves = self.lock();
        if halves.revocations == epoch.0 {
            halves.put(hash, token);
        }
    }

    /// Forgets a token; to be called after the database has.
    pub(super) fn revoke(&self, hash: &TokenHash) {
        let mut halves = self.lock();
        halves.young.remove(hash);
        halves.old.remove(hash);
        halves.revocations = halves.revocations.wrapping_add(1);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let halves = self.lock();
        halves.young.len() + halves.old.len()
    }
}

impl Halves {
    fn put(&mut self, hash: TokenHash, token: Token) {
        if self.young.len() >= HALF {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash, token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Secret;

    fn token() -> Token {
        Token {
            user: UserId::random(),
            project: None,
            issued_at: 1,
            expires_at: 2,
            method: Method::Password,
            audit: [0; 16],
            audit_chain: None,
            generation: 0,
        }
    }

    fn hash() -> TokenHash {
        TokenHash::of(Secret::random().unwrap().expose()).unwrap()
    }

    #[test]
    fn knows_the_shape_of_its_own_tokens() {
        assert!(TokenHash::of(Secret::random().unwrap().expose()).is_some());
        for other in [
            "",
            "gAAAAABm",
            &"a".repeat(42),
            &"a".repeat(44),
            &"/".repeat(43),
            &"é".repeat(43),
        ] {
            assert!(TokenHash::of(other).is_none(), "{other:?}");
        }
    }

    #[test]
    fn stays_bounded_and_keeps_what_is_used() {
        let cache = TokenCache::default();
        let kept = hash();
        let epoch = cache.lookup(&kept).unwrap_err();
        cache.insert(kept, token(), epoch);
        for _ in 0..10_000 {
            cache.insert(hash(), token(), epoch);
            assert!(cache.lookup(&kept).is_ok());
            assert!(cache.len() <= 2 * HALF);
        }
    }

    #[test]
    fn a_revocation_between_reading_and_remembering_wins() {
        let cache = TokenCache::default();
        let revoked = hash();
        let epoch = cache.lookup(&revoked).unwrap_err();
        cache.revoke(&revoked);
        cache.insert(revoked, token(), epoch);
        assert!(cache.lookup(&revoked).is_err());
    }
}
