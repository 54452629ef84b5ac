//! The RocksDB of the local identity: keys, synced batches, and one process at a time.
//!
//! | key | value |
//! |---|---|
//! | `v` | layout version |
//! | `b` | whether the first password has reached the operator |
//! | `u` user | user |
//! | `p` project | project |
//! | `g` user project | roles |
//! | `t` token hash | token |
//! | `x` expiry, big-endian; token hash | nothing: tokens in the order in which they expire |
//!
//! Every method blocks, none may be called on an async thread.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use rocksdb::{
    BlockBasedOptions, DB, DBRecoveryMode, IteratorMode, LogLevel, Options, ReadOptions, WriteBatch,
};
use rustix::fs::FlockOperation;

use super::directory::{Change, Directory};
use super::model::{ProjectId, UserId};
use super::records::{
    BadRecord, decode_project, decode_roles, decode_token, decode_user, encode_project, encode_roles,
    encode_token, encode_user,
};
use super::tokens::{Token, TokenHash};

const LAYOUT: &[u8] = b"v";
const LAYOUT_VERSION: u8 = 1;
const BOOTSTRAPPED: &[u8] = b"b";
const USERS: u8 = b'u';
const PROJECTS: u8 = b'p';
const GRANTS: u8 = b'g';
const TOKENS: u8 = b't';
const EXPIRIES: u8 = b'x';

/// Tokens removed in one batch: bounds memory and the time that other writers wait.
const PURGE_BATCH: usize = 1024;

/// Why the database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open: the daemon, or another `saccade` command.
    #[error("{0} is in use by another process")]
    InUse(PathBuf),
    /// A directory or the lock file cannot be made or opened.
    #[error("cannot prepare {path}")]
    Directory {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// RocksDB does not open or read it.
    #[error("cannot open the identity database in {path}")]
    Database {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: rocksdb::Error,
    },
    /// What is in it makes no sense, or is of a later version. Nothing was changed.
    #[error("the identity database in {path} cannot be used: {what}")]
    Contents {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The machine lacks something: randomness, or memory for a password hash.
    #[error("cannot prepare password hashing: {0}")]
    Passwords(String),
}

/// A read or write that failed; of a write it is unknown whether it happened.
#[derive(Debug, thiserror::Error)]
pub(super) enum DatabaseError {
    #[error("the identity database failed")]
    RocksDb(#[from] rocksdb::Error),
    #[error("the identity database cannot be opened again")]
    Reopen(#[source] Box<OpenError>),
    #[error("the identity database holds something unreadable")]
    Record(#[from] BadRecord),
    #[error("the identity database is closed")]
    Closed,
}

#[derive(Debug)]
pub(super) struct Database {
    path: PathBuf,
    /// `None` only when opening again after a failed write has failed too.
    db: RwLock<Option<DB>>,
    /// A write failed: RocksDB takes no more of them until it is opened again.
    failed: AtomicBool,
    /// Held as long as the database is open; RocksDB has its own, whose error cannot be told from others.
    _lock: File,
}

impl Database {
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let directory = |source| OpenError::Directory {
            path: path.to_owned(),
            source,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(directory)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join("process.lock"))
            .map_err(directory)?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(OpenError::InUse(path.to_owned())),
            Err(error) => return Err(directory(error.into())),
        }
        let db = open_rocksdb(path)?;
        Ok(Self {
            path: path.to_owned(),
            db: RwLock::new(Some(db)),
            failed: AtomicBool::new(false),
            _lock: lock,
        })
    }

    fn db(&self) -> RwLockReadGuard<'_, Option<DB>> {
        self.db.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a write has failed since the database was opened.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Whether not even reading works: opening again after a failed write has failed.
    pub(super) fn is_closed(&self) -> bool {
        self.db().is_none()
    }

    /// After a failed write (a full disk), opens the database again and hands on what is in it: the write that failed
    /// may or may not be. Does nothing when none has failed. One caller at a time.
    pub(super) fn recover(&self, reload: impl FnOnce(Directory)) -> Result<(), DatabaseError> {
        if !self.has_failed() {
            return Ok(());
        }
        let reopen = |error| DatabaseError::Reopen(Box::new(error));
        {
            let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
            // Closed first: RocksDB refuses to open what it has open.
            *db = None;
            *db = Some(open_rocksdb(&self.path).map_err(reopen)?);
        }
        reload(self.load().map_err(reopen)?.0);
        self.failed.store(false, Ordering::Release);
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn pretend_a_write_failed(&self) {
        self.failed.store(true, Ordering::Release);
    }

    #[cfg(test)]
    pub(super) fn pretend_reopening_failed(&self) {
        self.pretend_a_write_failed();
        *self.db.write().unwrap() = None;
    }

    fn write(&self, batch: WriteBatch, durability: Durability) -> Result<(), DatabaseError> {
        let mut options = rocksdb::WriteOptions::default();
        options.set_sync(durability == Durability::Synced);
        let db = self.db();
        let db = db.as_ref().ok_or(DatabaseError::Closed)?;
        db.write_opt(batch, &options).map_err(|error| {
            self.failed.store(true, Ordering::Release);
            error.into()
        })
    }

    /// Writes all changes or none, synced.
    pub(super) fn commit(&self, changes: &[Change]) -> Result<(), DatabaseError> {
        let mut batch = WriteBatch::default();
        for change in changes {
            match change {
                Change::PutUser(user) => batch.put(key(USERS, &[user.id.as_bytes()]), encode_user(user)?),
                Change::RemoveUser(id) => {
                    batch.delete(key(USERS, &[id.as_bytes()]));
                    for grant in self.scan(key(GRANTS, &[id.as_bytes()]))? {
                        batch.delete(grant.0);
                    }
                }
                Change::PutProject(project) => {
                    batch.put(key(PROJECTS, &[project.id.as_bytes()]), encode_project(project)?);
                }
                Change::PutRoles(user, project, roles) => {
                    let key = key(GRANTS, &[user.as_bytes(), project.as_bytes()]);
                    if roles.is_empty() {
                        batch.delete(key);
                    } else {
                        batch.put(key, encode_roles(*roles));
                    }
                }
                Change::Bootstrapped(done) => batch.put(BOOTSTRAPPED, [u8::from(*done)]),
            }
        }
        self.write(batch, Durability::Synced)
    }

    /// Everyone and everything, and whether the first password has reached the operator (`None`: nothing was ever made).
    pub(super) fn load(&self) -> Result<(Directory, Option<bool>), OpenError> {
        self.try_load().map_err(|error| OpenError::Contents {
            path: self.path.clone(),
            what: match error {
                DatabaseError::RocksDb(error) => error.to_string(),
                DatabaseError::Record(error) => error.to_string(),
                other => other.to_string(),
            },
        })
    }

    fn try_load(&self) -> Result<(Directory, Option<bool>), DatabaseError> {
        let mut directory = Directory::default();
        for (key, value) in self.scan(vec![USERS])? {
            let id = UserId::from_bytes(array(key.get(1..))?);
            directory.apply(&Change::PutUser(decode_user(id, &value)?));
        }
        for (key, value) in self.scan(vec![PROJECTS])? {
            let id = ProjectId::from_bytes(array(key.get(1..))?);
            directory.apply(&Change::PutProject(decode_project(id, &value)?));
        }
        for (key, value) in self.scan(vec![GRANTS])? {
            let user = UserId::from_bytes(array(key.get(1..17))?);
            let project = ProjectId::from_bytes(array(key.get(17..))?);
            directory.apply(&Change::PutRoles(user, project, decode_roles(&value)?));
        }
        let bootstrapped = match self.value(BOOTSTRAPPED)?.as_deref() {
            None => None,
            Some([0]) => Some(false),
            Some([1]) => Some(true),
            Some(_) => return Err(BadRecord::Damaged.into()),
        };
        Ok((directory, bootstrapped))
    }

    pub(super) fn put_token(&self, hash: &TokenHash, token: &Token) -> Result<(), DatabaseError> {
        let mut batch = WriteBatch::default();
        batch.put(key(TOKENS, &[hash.as_bytes()]), encode_token(token)?);
        batch.put(expiry_key(token.expires_at, hash.as_bytes()), []);
        self.write(batch, Durability::Synced)
    }

    pub(super) fn token(&self, hash: &TokenHash) -> Result<Option<Token>, DatabaseError> {
        let value = self.value(&key(TOKENS, &[hash.as_bytes()]))?;
        Ok(value.map(|value| decode_token(&value)).transpose()?)
    }

    /// Forgets a token, synced: a power cut must not bring it back.
    pub(super) fn delete_token(&self, hash: &TokenHash, expires_at: u64) -> Result<(), DatabaseError> {
        let mut batch = WriteBatch::default();
        batch.delete(key(TOKENS, &[hash.as_bytes()]));
        batch.delete(expiry_key(expires_at, hash.as_bytes()));
        self.write(batch, Durability::Synced)
    }

    /// Forgets tokens that expired before `now` (seconds since 1970); says how many. Not synced: what comes back after
    /// a power cut is still expired.
    pub(super) fn purge(&self, now: u64) -> Result<usize, DatabaseError> {
        let mut purged = 0;
        loop {
            let mut batch = WriteBatch::default();
            let mut count = 0;
            {
                let db = self.db();
                let db = db.as_ref().ok_or(DatabaseError::Closed)?;
                let mut range = ReadOptions::default();
                range.set_iterate_lower_bound(vec![EXPIRIES]);
                range.set_iterate_upper_bound(key(EXPIRIES, &[&now.to_be_bytes()]));
                for entry in db.iterator_opt(IteratorMode::Start, range).take(PURGE_BATCH) {
                    let (expiry, _) = entry?;
                    if let Some(hash) = expiry.get(9..) {
                        batch.delete(key(TOKENS, &[hash]));
                    }
                    batch.delete(expiry);
                    count += 1;
                }
            }
            if count == 0 {
                return Ok(purged);
            }
            self.write(batch, Durability::Unsynced)?;
            purged += count;
        }
    }

    fn value(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DatabaseError> {
        Ok(self.db().as_ref().ok_or(DatabaseError::Closed)?.get(key)?)
    }

    fn scan(&self, prefix: Vec<u8>) -> Result<Vec<Entry>, DatabaseError> {
        let db = self.db();
        let db = db.as_ref().ok_or(DatabaseError::Closed)?;
        let mut range = ReadOptions::default();
        range.set_iterate_range(rocksdb::PrefixRange(prefix));
        Ok(db
            .iterator_opt(IteratorMode::Start, range)
            .collect::<Result<_, _>>()?)
    }
}

/// Key and value.
type Entry = (Box<[u8]>, Box<[u8]>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Durability {
    Synced,
    Unsynced,
}

fn key(table: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = vec![table];
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key
}

fn expiry_key(expires_at: u64, hash: &[u8]) -> Vec<u8> {
    key(EXPIRIES, &[&expires_at.to_be_bytes(), hash])
}

fn array(bytes: Option<&[u8]>) -> Result<[u8; 16], BadRecord> {
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(BadRecord::Damaged)
}

/// Opens RocksDB, in little memory: a few thousand small records, and tokens that are read through a cache.
fn open_rocksdb(path: &Path) -> Result<DB, OpenError> {
    let mut blocks = BlockBasedOptions::default();
    // A random token then costs a look at a filter, not a read of the disk.
    blocks.set_bloom_filter(10.0, false);
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    options.create_if_missing(true);
    options.set_write_buffer_size(1 << 20);
    options.set_max_write_buffer_number(2);
    options.set_max_open_files(32);
    options.set_max_total_wal_size(4 << 20);
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_paranoid_checks(true);
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(1 << 20);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    let failed = |source| OpenError::Database {
        path: path.to_owned(),
        source,
    };
    let contents = |what| OpenError::Contents {
        path: path.to_owned(),
        what,
    };
    let db = DB::open(&options, path).map_err(failed)?;
    match db.get(LAYOUT).map_err(failed)?.as_deref() {
        Some([LAYOUT_VERSION]) => {}
        Some([later]) if *later > LAYOUT_VERSION => {
            return Err(contents(format!("layout {later} is of a later saccade")));
        }
        Some(_) => return Err(contents("unknown layout".to_owned())),
        None => {
            if db.iterator(IteratorMode::Start).next().is_some() {
                return Err(contents("it is some other program's database".to_owned()));
            }
            let mut synced = rocksdb::WriteOptions::default();
            synced.set_sync(true);
            db.put_opt(LAYOUT, [LAYOUT_VERSION], &synced).map_err(failed)?;
        }
    }
    Ok(db)
}
