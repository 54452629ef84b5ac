//! The database itself: opened, checked, and opened again while the daemon runs.

use std::{
    fs::{DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock, TryLockError},
};

use ::rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, DB, DBRecoveryMode, ErrorKind, LogLevel, LruCacheOptions,
    ReadOptions, ReadTier, WriteBatch, WriteOptions,
};
use saccade_disk::{Disk, RealDisk};

use super::{keys, record};
use crate::metadata::{MetadataError, MetadataErrorKind};

/// The version of the layout in `keys.rs`. A database with a later one is refused, one with an earlier
/// one is brought up to it.
pub(super) const SCHEMA_VERSION: u32 = 2;

/// How much of an upgrade is written at once.
const UPGRADE_BYTES: usize = 1 << 20;

/// How much memory the database may take. The defaults suit a hundred thousand images and more.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Bytes of blocks that are kept in memory for reading, indexes and filters included.
    pub block_cache: usize,
    /// Bytes of changes that are gathered in memory before they become a file. The log is about as long.
    pub write_buffer: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            block_cache: 32 << 20,
            write_buffer: 16 << 20,
        }
    }
}

/// Why the metadata store could not be opened. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the metadata store in {path}: {kind}")]
pub struct OpenError {
    /// What is to be done.
    pub kind: OpenErrorKind,
    /// The directory.
    pub path: PathBuf,
    /// The cause, where there is one.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Why the metadata store could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenErrorKind {
    /// Another process has it open.
    #[error("another daemon uses this directory")]
    InUse,
    /// It was written by a later version of Saccade.
    #[error("it has layout version {found}, and this version of Saccade knows versions up to {known}")]
    Newer {
        /// The version it has.
        found: u32,
        /// The latest version that this program knows.
        known: u32,
    },
    /// There is a database in the directory, but it is not a metadata store.
    #[error("the database in it is not a metadata store")]
    Foreign,
    /// What is stored is damaged in a place where no interrupted write can have damaged it. Acknowledged changes may be
    /// lost: restore it from a backup.
    #[error("its files are damaged or missing; restore them from a backup")]
    Damaged,
    /// The directory cannot be made or used.
    #[error("the directory cannot be used")]
    Directory,
}

/// The open database. Readers share it; the writer thread replaces it after a failed write.
pub(super) struct Database {
    path: PathBuf,
    options: Options,
    db: RwLock<Option<DB>>,
    #[cfg(test)]
    pub(super) faults: std::sync::Mutex<Vec<super::tests::Fault>>,
}

impl Database {
    pub(super) fn open(path: &Path, options: Options) -> Result<Self, OpenError> {
        let failed = |kind, source| OpenError {
            kind,
            path: path.to_owned(),
            source,
        };
        create_dir_durably(path).map_err(|error| failed(OpenErrorKind::Directory, Some(error.into())))?;
        if lost_its_head(path).map_err(|error| failed(OpenErrorKind::Directory, Some(error.into())))? {
            return Err(failed(OpenErrorKind::Damaged, None));
        }
        let db = DB::open(&database_options(&options), path)
            .map_err(|error| failed(open_error_kind(&error), Some(error.into())))?;
        match check_schema(&db) {
            Ok(None) => {}
            Ok(Some(kind)) => return Err(failed(kind, None)),
            Err(error) => return Err(failed(open_error_kind(&error), Some(error.into()))),
        }
        Ok(Self {
            path: path.to_owned(),
            options,
            db: RwLock::new(Some(db)),
            #[cfg(test)]
            faults: Default::default(),
        })
    }

    /// Runs `work` with the database. It blocks; a reopening waits for it.
    pub(super) fn with<T>(
        &self,
        work: impl FnOnce(&DB) -> Result<T, MetadataError>,
    ) -> Result<T, MetadataError> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        work(
            db.as_ref()
                .ok_or(MetadataError::new(MetadataErrorKind::Unavailable))?,
        )
    }

    /// Runs `work`, which must not read from the disk, with the database: it does not block. `None` while the database is being
    /// opened again, and where `work` does not find all it needs in memory.
    pub(super) fn with_memory<T>(
        &self,
        work: impl FnOnce(&DB) -> Result<T, MetadataError>,
    ) -> Option<Result<T, MetadataError>> {
        let db = match self.db.try_read() {
            Ok(db) => db,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        let done = work(db.as_ref()?);
        match done {
            Err(error) if is_out_of_reach(&error) => None,
            done => Some(done),
        }
    }

    /// Writes the batch and makes it durable.
    pub(super) fn write_synced(db: &DB, batch: WriteBatch) -> Result<(), ::rocksdb::Error> {
        let mut options = WriteOptions::default();
        options.set_sync(true);
        db.write_opt(batch, &options)
    }

    /// Whether the file system takes as much as an open database must be able to write at once: a buffer that becomes a
    /// file, a new log and the lists of files.
    pub(super) fn probe_room(&self) -> io::Result<()> {
        let path = self.path.join("room.probe");
        match RealDisk.unlink(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = RealDisk.create_new(&path, 0o600)?;
        RealDisk.unlink(&path)?;
        let room = self
            .options
            .write_buffer
            .saturating_mul(2)
            .saturating_add(4 << 20);
        file.reserve(u64::try_from(room).unwrap_or(u64::MAX))?;
        // A file system that cannot reserve tells only when it is written to.
        file.write_all_at(&[0; 65536], 0)?;
        file.sync_data()
    }

    /// Closes the database and opens it again, which replays its log and makes the result durable: afterwards it is
    /// known what was applied. When the opening fails there is no database, until a later try succeeds.
    pub(super) fn reopen(&self) -> Result<(), ::rocksdb::Error> {
        let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
        *db = None;
        *db = Some(DB::open(&database_options(&self.options), &self.path)?);
        Ok(())
    }

    /// Closes the database for good, once the reads that are under way have finished.
    pub(super) fn close(&self) {
        *self.db.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Keeps the writer waiting: what is committed meanwhile becomes one group.
    #[cfg(test)]
    pub(super) fn hold(&self) -> std::sync::RwLockWriteGuard<'_, Option<DB>> {
        self.db.write().unwrap()
    }
}

/// How far a read may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// To what is in memory: the changes that are in no file yet, and cached blocks. It takes microseconds and waits for
    /// nothing, and fails where that is not enough (see [`Database::with_memory`]).
    Memory,
    /// To the disk.
    Disk,
}

/// A read needed more than its [`Reach`].
#[derive(Debug, thiserror::Error)]
#[error("not all of it is in memory")]
struct OutOfReach;

/// The error of a read that would have to go further than it may.
pub(super) fn out_of_reach() -> MetadataError {
    MetadataError::caused_by(MetadataErrorKind::Unavailable, OutOfReach)
}

fn is_out_of_reach(error: &MetadataError) -> bool {
    error
        .source
        .as_ref()
        .is_some_and(|source| source.is::<OutOfReach>())
}

/// How every read is made: checked against its checksum.
pub(super) fn read_options(reach: Reach) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_verify_checksums(true);
    if reach == Reach::Memory {
        options.set_read_tier(ReadTier::BlockCache);
    }
    options
}

/// The error of a read that failed.
pub(super) fn read_error(error: ::rocksdb::Error) -> MetadataError {
    let kind = match error.kind() {
        ErrorKind::Incomplete => return out_of_reach(),
        ErrorKind::Corruption => MetadataErrorKind::Corrupt,
        _ => MetadataErrorKind::Unavailable,
    };
    MetadataError::caused_by(kind, error)
}

fn database_options(options: &Options) -> ::rocksdb::Options {
    let mut blocks = BlockBasedOptions::default();
    // Few shards: each must hold many blocks, whatever the size of the cache.
    let mut cache = LruCacheOptions::default();
    cache.set_capacity(options.block_cache);
    cache.set_num_shard_bits(2);
    blocks.set_block_cache(&Cache::new_lru_cache_opts(&cache));
    // Indexes and filters count against the cache, so that memory is bounded by it; in pieces, since one of a
    // whole file is too large to come and go.
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    blocks.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    blocks.set_partition_filters(true);
    blocks.set_bloom_filter(10.0, false);
    blocks.set_format_version(6);

    let mut db = ::rocksdb::Options::default();
    db.set_block_based_table_factory(&blocks);
    db.create_if_missing(true);
    db.set_write_buffer_size(options.write_buffer);
    db.set_max_write_buffer_number(2);
    db.set_max_open_files(128);
    db.set_max_background_jobs(2);

    // A record that the end of the log cuts off was never acknowledged, and is left out. Any other damage refuses to
    // open: point-in-time recovery, RocksDB's default, would drop every acknowledged change behind it. (A last record
    // of full length with wrong bytes refuses, too. File systems that make data durable before the length that covers it, as
    // ext4 and XFS do, leave no such record behind.)
    db.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    db.set_track_and_verify_wals_in_manifest(true);
    db.set_paranoid_checks(true);
    // A read on a connection's thread may be the last to need a buffer or file that was replaced: others free it.
    db.set_avoid_unnecessary_blocking_io(true);
    db.set_manual_wal_flush(false);
    db.set_recycle_log_file_num(0);

    // Few and small files beside the data, and nothing that wakes an idle daemon.
    db.set_log_level(LogLevel::Warn);
    db.set_keep_log_file_num(2);
    db.set_max_log_file_size(1 << 20);
    db.set_max_manifest_file_size(4 << 20);
    db.set_stats_dump_period_sec(0);
    db.set_stats_persist_period_sec(0);
    db.set_skip_stats_update_on_db_open(true);
    db
}

/// Whether the database is one of ours, in a version that we know. A new one is made ours.
fn check_schema(db: &DB) -> Result<Option<OpenErrorKind>, ::rocksdb::Error> {
    let Some(stored) = db.get(keys::SCHEMA)? else {
        let mut first = db.raw_iterator();
        first.seek_to_first();
        first.status()?;
        if first.valid() {
            return Ok(Some(OpenErrorKind::Foreign));
        }
        let mut batch = WriteBatch::default();
        batch.put(keys::SCHEMA, SCHEMA_VERSION.to_be_bytes());
        Database::write_synced(db, batch)?;
        return Ok(None);
    };
    match <[u8; 4]>::try_from(stored.as_slice()).map(u32::from_be_bytes) {
        Ok(SCHEMA_VERSION) => Ok(None),
        Ok(found) if found > SCHEMA_VERSION => Ok(Some(OpenErrorKind::Newer {
            found,
            known: SCHEMA_VERSION,
        })),
        Ok(_) => upgrade(db),
        Err(_) => Ok(Some(OpenErrorKind::Foreign)),
    }
}

/// Writes the index entries that the records have in this version. An interruption leaves the earlier version, and some
/// of them, which the next start writes again.
fn upgrade(db: &DB) -> Result<Option<OpenErrorKind>, ::rocksdb::Error> {
    tracing::info!("the metadata store comes from an earlier version: making its new indexes");
    let mut records = db.raw_iterator_opt(read_options(Reach::Disk));
    records.seek(keys::ENTRIES);
    let mut batch = WriteBatch::default();
    while let Some((key, record)) = records.item() {
        if !key.starts_with(keys::ENTRIES) {
            break;
        }
        let Some(entry) = keys::image_id(key).and_then(|id| record::decode(id, record).ok()) else {
            return Ok(Some(OpenErrorKind::Damaged));
        };
        for key in keys::derived(Some(&entry)) {
            batch.put(key, []);
        }
        if batch.size_in_bytes() > UPGRADE_BYTES {
            db.write(std::mem::take(&mut batch))?;
        }
        records.next();
    }
    records.status()?;
    batch.put(keys::SCHEMA, SCHEMA_VERSION.to_be_bytes());
    Database::write_synced(db, batch)?;
    Ok(None)
}

fn open_error_kind(error: &::rocksdb::Error) -> OpenErrorKind {
    let text = error.as_ref();
    match error.kind() {
        ErrorKind::IOError
            if text.contains("While lock file") || text.contains("lock hold by current process") =>
        {
            OpenErrorKind::InUse
        }
        ErrorKind::IOError if text.contains("No such file") => OpenErrorKind::Damaged,
        ErrorKind::InvalidArgument if text.contains("olumn famil") => OpenErrorKind::Foreign,
        ErrorKind::Corruption => OpenErrorKind::Damaged,
        _ => OpenErrorKind::Directory,
    }
}

/// Whether there are files of a database but not the one that names the others. RocksDB would make a new database in
/// their place, and delete them. (A first start that was interrupted leaves neither kind.)
fn lost_its_head(path: &Path) -> io::Result<bool> {
    if path.join("CURRENT").try_exists()? {
        return Ok(false);
    }
    for file in path.read_dir()? {
        let name = PathBuf::from(file?.file_name());
        if name
            .extension()
            .is_some_and(|kind| kind == "sst" || kind == "log")
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Makes the directory and those above it that are missing, for its owner alone (locations hold secrets), so that they
/// survive a power cut.
fn create_dir_durably(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            create_dir_durably(parent.ok_or(error)?)?;
            DirBuilder::new().mode(0o700).create(path)?;
        }
        Err(error) => return Err(error),
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}
