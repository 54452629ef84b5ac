//! Passwords: argon2id hashes, made and checked off the async threads, a bounded number at a time.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

use super::super::secret::Secret;

/// The longest password that is hashed: Keystone's `max_password_length`.
pub const MAX_PASSWORD_BYTES: usize = 4096;

/// Verifications under way at once: each takes [`PasswordCost::memory_kib`] and a core.
const CONCURRENT: usize = 2;
/// Verifications that may wait for those; more are told to come back.
const WAITING: usize = 64;

/// What one password check costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordCost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
}

impl Default for PasswordCost {
    /// The first choice of the OWASP password storage cheat sheet for argon2id: 19 MiB, two passes, one lane.
    fn default() -> Self {
        Self {
            memory_kib: 19 * 1024,
            passes: 2,
        }
    }
}

/// An argon2id hash with its salt and parameters, in PHC string form.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Longest string that is taken for one.
    const MAX_BYTES: usize = 256;
    /// Most memory that a stored hash may ask for, in KiB: a damaged record must not exhaust the machine.
    const MAX_MEMORY_KIB: u32 = 256 * 1024;
    const MAX_PASSES: u32 = 64;

    /// Checks the stored form; `None` when it is none, or would cost too much to verify.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() > Self::MAX_BYTES {
            return None;
        }
        let hash = phc::PasswordHash::new(text).ok()?;
        let params = Params::try_from(&hash).ok()?;
        let fits = hash.algorithm == Algorithm::Argon2id.ident()
            && hash.version == Some(Version::V0x13.into())
            && hash.salt.is_some()
            && hash.hash.is_some()
            && params.m_cost() <= Self::MAX_MEMORY_KIB
            && params.t_cost() <= Self::MAX_PASSES
            && params.p_cost() == 1;
        fits.then(|| Self(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Hashes a password; blocks for the whole cost, and for a workspace.
    ///
    /// # Errors
    /// A text saying why it cannot be hashed; never the password.
    pub(super) fn make(
        password: &Secret,
        cost: PasswordCost,
        workspaces: &Workspaces,
    ) -> Result<Self, String> {
        check_password(password)?;
        let failed = |error: &dyn fmt::Display| format!("argon2: {error}");
        let params = Params::new(cost.memory_kib, cost.passes, 1, None).map_err(|error| failed(&error))?;
        let mut salt = [0; phc::Salt::RECOMMENDED_LENGTH];
        getrandom::fill(&mut salt).map_err(|error| format!("no randomness: {error}"))?;
        let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
        workspaces
            .run(&params, password, &salt, &mut output)
            .map_err(|error| failed(&error))?;
        let hash = phc::PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: phc::ParamsString::try_from(&params).map_err(|error| failed(&error))?,
            salt: Some(phc::Salt::new(&salt).map_err(|error| failed(&error))?),
            hash: Some(phc::Output::new(&output).map_err(|error| failed(&error))?),
        };
        Ok(Self(hash.to_string()))
    }

    /// Whether the password is the one; blocks for the whole cost, and for a workspace.
    pub(super) fn verify(&self, password: &Secret, workspaces: &Workspaces) -> bool {
        self.matches(password, workspaces).unwrap_or(false)
    }

    fn matches(&self, password: &Secret, workspaces: &Workspaces) -> Option<bool> {
        if password.expose().len() > MAX_PASSWORD_BYTES {
            return None;
        }
        let hash = phc::PasswordHash::new(&self.0).ok()?;
        let params = Params::try_from(&hash).ok()?;
        let expected = hash.hash?;
        let mut buffer = [0; phc::Output::MAX_LENGTH];
        let output = buffer.get_mut(..expected.len())?;
        workspaces.run(&params, password, &hash.salt?, output).ok()?;
        Some(bool::from(expected.as_ref().ct_eq(output)))
    }
}

/// The memory that passwords are hashed in: [`CONCURRENT`] pieces that are used again and again.
///
/// An allocator that keeps a piece for each thread that ever hashed would hold gigabytes after a burst of logins.
#[derive(Debug)]
pub(super) struct Workspaces {
    free: Mutex<Vec<Vec<Block>>>,
    returned: Condvar,
}

impl Workspaces {
    fn new() -> Self {
        Self {
            free: Mutex::new(vec![Vec::new(); CONCURRENT]),
            returned: Condvar::new(),
        }
    }

    /// Computes an argon2id hash, waiting for a piece of memory; it is wiped afterwards.
    fn run(&self, params: &Params, password: &Secret, salt: &[u8], output: &mut [u8]) -> argon2::Result<()> {
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
        let mut lent = self.lend();
        lent.blocks.resize(params.block_count(), Block::new());
        let done = argon2.hash_password_into_with_memory(
            password.expose().as_bytes(),
            salt,
            output,
            &mut lent.blocks,
        );
        lent.blocks.fill(Block::new());
        done
    }

    fn lend(&self) -> Lent<'_> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(blocks) = free.pop() {
                return Lent { blocks, owner: self };
            }
            free = self.returned.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A piece of memory that goes back however its use ends.
struct Lent<'w> {
    blocks: Vec<Block>,
    owner: &'w Workspaces,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut free = self.owner.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.push(std::mem::take(&mut self.blocks));
        self.owner.returned.notify_one();
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(***)")
    }
}

/// Whether a text may become a password.
pub(super) fn check_password(password: &Secret) -> Result<(), String> {
    match password.expose().len() {
        1..=MAX_PASSWORD_BYTES => Ok(()),
        _ => Err(format!("a password has 1 to {MAX_PASSWORD_BYTES} bytes")),
    }
}

/// Checks passwords, a few at a time, in the same time whether the user exists or not.
#[derive(Debug, Clone)]
pub(super) struct Verifier {
    /// The hash that is checked for a user who does not exist.
    decoy: PasswordHash,
    workspaces: Arc<Workspaces>,
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
}

/// Too many password checks wait already.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Busy;

impl Verifier {
    /// Blocks for one hash.
    pub(super) fn new(cost: PasswordCost) -> Result<Self, String> {
        let unknown = Secret::random().map_err(|error| format!("no randomness: {error}"))?;
        let workspaces = Workspaces::new();
        Ok(Self {
            decoy: PasswordHash::make(&unknown, cost, &workspaces)?,
            workspaces: Arc::new(workspaces),
            running: Arc::new(Semaphore::new(CONCURRENT)),
            admitted: Arc::new(Semaphore::new(CONCURRENT + WAITING)),
        })
    }

    /// What hashing a new password needs.
    pub(super) fn workspaces(&self) -> &Workspaces {
        &self.workspaces
    }

    /// Whether `password` belongs to `hash`; `None` (no such user) costs the same and is never true.
    ///
    /// A cancelled check still counts until its thread is done, so that cancelling does not get around the limit.
    pub(super) async fn verify(&self, hash: Option<PasswordHash>, password: Secret) -> Result<bool, Busy> {
        let admitted = Arc::clone(&self.admitted).try_acquire_owned().map_err(|_| Busy)?;
        let running = Arc::clone(&self.running)
            .acquire_owned()
            .await
            .map_err(|_| Busy)?;
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.decoy.clone());
        let workspaces = Arc::clone(&self.workspaces);
        let verified = tokio::task::spawn_blocking(move || {
            let verified = hash.verify(&password, &workspaces);
            drop((running, admitted));
            verified
        });
        verified.await.map(|verified| verified && known).map_err(|_| Busy)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CHEAP: PasswordCost = PasswordCost {
        memory_kib: 8,
        passes: 1,
    };

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    #[test]
    fn verifies_its_own_password_only() {
        let hash = PasswordHash::make(&secret("correct horse"), CHEAP, &Workspaces::new()).unwrap();
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=8,t=1,p=1$"));
        assert!(hash.verify(&secret("correct horse"), &Workspaces::new()));
        assert!(!hash.verify(&secret("correct horsf"), &Workspaces::new()));
        assert_eq!(PasswordHash::parse(hash.as_str()), Some(hash));
    }

    #[test]
    fn agrees_with_the_reference_implementation() {
        // `echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1 -l 32`, as in the reference implementation's tests.
        let known = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let known = PasswordHash::parse(known).unwrap();
        assert!(known.verify(&secret("password"), &Workspaces::new()));
        assert!(!known.verify(&secret("differentpassword"), &Workspaces::new()));
    }

    #[test]
    fn wipes_and_reuses_its_memory() {
        let workspaces = Workspaces::new();
        for _ in 0..5 {
            PasswordHash::make(&secret("hunter2"), CHEAP, &workspaces).unwrap();
        }
        let free = workspaces.free.lock().unwrap();
        assert_eq!(free.len(), CONCURRENT);
        assert_eq!(free.iter().filter(|blocks| !blocks.is_empty()).count(), 1);
        assert!(
            free.iter()
                .flatten()
                .all(|block| block.as_ref().iter().all(|word| *word == 0))
        );
    }

    #[test]
    fn shows_no_secret_in_debug() {
        let hash = PasswordHash::make(&secret("hunter2"), CHEAP, &Workspaces::new()).unwrap();
        assert_eq!(
            format!("{:?} {:?}", secret("hunter2"), hash),
            "Secret(***) PasswordHash(***)"
        );
    }

    #[test]
    fn refuses_an_empty_and_an_endless_password() {
        assert!(PasswordHash::make(&secret(""), CHEAP, &Workspaces::new()).is_err());
        assert!(
            PasswordHash::make(
                &secret(&"a".repeat(MAX_PASSWORD_BYTES + 1)),
                CHEAP,
                &Workspaces::new()
            )
            .is_err()
        );
    }

    #[test]
    fn refuses_a_stored_hash_that_would_exhaust_the_machine() {
        let salt_and_hash = "c29tZXNhbHQ$RdescudvJCsgt3ub+b6dWRWJTmaaJObG2BP2cBo9yyM";
        assert!(PasswordHash::parse(&format!("$argon2id$v=19$m=19456,t=2,p=1${salt_and_hash}")).is_some());
        for params in ["m=4000000,t=2,p=1", "m=19456,t=9999999,p=1", "m=19456,t=2,p=4096"] {
            assert!(
                PasswordHash::parse(&format!("$argon2id$v=19${params}${salt_and_hash}")).is_none(),
                "{params}"
            );
        }
        assert!(PasswordHash::parse(&format!("$argon2d$v=19$m=19456,t=2,p=1${salt_and_hash}")).is_none());
    }

    #[tokio::test]
    async fn never_accepts_an_unknown_user() {
        let verifier = Verifier::new(CHEAP).unwrap();
        assert_eq!(verifier.verify(None, secret("x")).await, Ok(false));
    }

    #[tokio::test]
    async fn sends_the_surplus_away() {
        let verifier = Verifier::new(CHEAP).unwrap();
        let _all = verifier.running.acquire_many(CONCURRENT as u32).await.unwrap();
        let waiting: Vec<_> = (0..CONCURRENT + WAITING)
            .map(|_| {
                let verifier = verifier.clone();
                tokio::spawn(async move { verifier.verify(None, secret("x")).await })
            })
            .collect();
        while verifier.admitted.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(verifier.verify(None, secret("x")).await, Err(Busy));
        drop(_all);
        for task in waiting {
            assert_eq!(task.await.unwrap(), Ok(false));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_hash_or_refused(text in ".{0,300}") {
            let _ = PasswordHash::parse(&text);
        }
    }
}
