//! The store.

use std::{fmt, fs::File, io, ops::Range, path::Path, sync::Arc};

use async_trait::async_trait;
use saccade_disk::{Disk, DiskFile, WriteMode};
use saccade_store_contract::{
    Attempt, Blob, BlobName, BlobWriter, Body, Capabilities, Capacity, Error, ErrorKind, FileRegion, Handle,
    Location, Operation, Result, Store,
};

use crate::{
    attempt::AttemptState,
    engine::Engine,
    errors::{failed, refused},
    layout::Layout,
    locks::{LiveAttempts, NameLocks},
    mode::{FallBack, WriteChoice},
    open::{self, FileStoreConfig, OpenError},
    opened::Opened,
    threads::Threads,
    undo,
    writer::FileWriter,
};

/// Blobs as files in one directory.
#[derive(Debug, Clone)]
pub struct FileStore(Arc<Inner>);

/// What the store and its writers share.
#[derive(Debug)]
pub(crate) struct Inner {
    id: String,
    pub(crate) layout: Layout,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) file_mode: Option<u32>,
    pub(crate) thin_provisioning: bool,
    pub(crate) write_mode: WriteMode,
    pub(crate) engine: Engine,
    pub(crate) names: NameLocks,
    pub(crate) attempts: LiveAttempts,
    pub(crate) threads: Threads,
    pub(crate) fell_back: Arc<FallBack>,
    opened: Arc<Opened>,
    /// Device and inode of the directory when the store was opened.
    identity: (u64, u64),
}

impl FileStore {
    /// Opens a store: makes its directory if it is not there, tries whether files can be made and linked in it and how they
    /// are written, and logs that. Leaves nothing but the directory. Blocks.
    ///
    /// # Errors
    /// [`OpenError`]: the directory cannot be made, is not writable, or its file system has no hard links or refuses the
    /// way of writing that is configured.
    pub fn open(config: FileStoreConfig, disk: Arc<dyn Disk>) -> Result<Self, OpenError> {
        let layout = Layout::new(&config.datadir).map_err(|reason| OpenError::Path {
            path: config.datadir.clone(),
            reason,
        })?;
        let found = open::prepare(&*disk, layout.directory(), config.file_mode, config.write)?;
        tracing::info!(
            store = config.id,
            directory = %layout.directory().display(),
            mode = %found.write_mode,
            chosen = matches!(config.write, WriteChoice::Auto),
            engine = %config.engine,
            "how the file store writes"
        );
        Ok(Self(Arc::new(Inner {
            fell_back: Arc::new(FallBack::new(config.id.as_str())),
            id: config.id,
            layout,
            disk,
            file_mode: config.file_mode,
            thin_provisioning: config.thin_provisioning,
            write_mode: found.write_mode,
            engine: config.engine,
            names: NameLocks::default(),
            attempts: LiveAttempts::default(),
            threads: Threads::default(),
            opened: Arc::default(),
            identity: found.identity,
        })))
    }

    /// How its files are written.
    pub fn write_mode(&self) -> WriteMode {
        self.0.write_mode
    }

    /// Whether a file was not written so.
    #[cfg(test)]
    pub(crate) fn fell_back(&self) -> bool {
        self.0.fell_back.is_noted()
    }

    pub(crate) fn directory(&self) -> &Path {
        self.0.layout.directory()
    }

    pub(crate) fn identity(&self) -> (u64, u64) {
        self.0.identity
    }

    /// Runs a call that blocks on a thread that may.
    async fn blocking<T: Send + 'static>(
        &self,
        operation: Operation,
        call: impl FnOnce(&Inner) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let inner = Arc::clone(&self.0);
        let called = self.0.threads.call(move || call(&inner)).await;
        called.unwrap_or_else(|stopped| {
            Err(Error::new(ErrorKind::Unavailable, operation, self.to_string()).caused_by(stopped))
        })
    }
}

impl Inner {
    /// Tells a file that is not there from a directory that is not there: a mount point whose file system is not
    /// mounted is an empty directory, and to take its emptiness for deleted blobs would lose track of them all.
    ///
    /// The inode alone is compared: the device number of a network file system changes when it is mounted again.
    pub(crate) fn same_directory(&self) -> io::Result<()> {
        let found = open::identity(&*self.disk, self.layout.directory());
        if found.is_ok_and(|(_, inode)| inode == self.identity.1) {
            Ok(())
        } else {
            Err(io::Error::other(
                "the store's directory is not the one that was there at the start; is it mounted?",
            ))
        }
    }

    /// The error of a call on a blob's file.
    fn blob_error(&self, operation: Operation, path: &Path, source: io::Error) -> Error {
        let source = match source.kind() {
            io::ErrorKind::NotFound => self.same_directory().err().unwrap_or(source),
            _ => source,
        };
        failed(operation, path.to_string_lossy(), source)
    }

    fn open_blob(&self, path: &Path, operation: Operation) -> Result<(Box<dyn DiskFile>, u64)> {
        self.disk
            .open(path)
            .and_then(|file| {
                let size = file.size()?;
                Ok((file, size))
            })
            .map_err(|source| self.blob_error(operation, path, source))
    }

    fn create(&self, size_hint: Option<u64>, blob: BlobName) -> Result<()> {
        let fail = |source| failed(Operation::Create, blob.to_string(), source);
        let directory = self.layout.directory();
        // What is written into a bare mount point is hidden by what is mounted there later.
        self.same_directory().map_err(fail)?;
        self.disk.check_writable(directory).map_err(fail)?;
        let free = self.disk.space(directory).map_err(fail)?.free;
        if size_hint.is_some_and(|hint| hint > free) {
            return Err(refused(
                ErrorKind::Full,
                Operation::Create,
                blob.to_string(),
                "it is larger than the free space of the store's file system",
            ));
        }
        Ok(())
    }

    fn prepare_delete(&self, location: &Location) -> Result<()> {
        let path = self.layout.resolve(location, Operation::PrepareDelete)?;
        let prepared = || {
            if !self.disk.stat(&path)?.is_file {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "it is not a regular file",
                ));
            }
            self.disk.check_writable(self.layout.directory())
        };
        prepared().map_err(|source| self.blob_error(Operation::PrepareDelete, &path, source))
    }

    fn delete(&self, location: &Location) -> Result<()> {
        let path = self.layout.resolve(location, Operation::Delete)?;
        let deleted = || {
            let stat = self.disk.stat(&path);
            if stat.as_ref().is_ok_and(|stat| !stat.is_file) {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "it is not a regular file",
                ));
            }
            let unlinked = stat.and_then(|_| self.disk.unlink(&path));
            self.opened.forget(&path);
            let gone = unlinked
                .as_ref()
                .is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
            if unlinked.is_ok() || gone {
                // Also when it is gone: an earlier call may have failed here.
                self.disk.sync_dir(self.layout.directory())?;
            }
            unlinked
        };
        self.names
            .hold(&path, deleted)
            .map_err(|source| self.blob_error(Operation::Delete, &path, source))
    }
}

/// What is in the range of an open file.
fn blob(file: Arc<File>, size: u64, range: Option<Range<u64>>) -> Blob {
    let range = range.unwrap_or(0..size);
    let offset = range.start.min(size);
    let len = range.end.min(size).saturating_sub(offset);
    let body = Body::File(FileRegion { file, offset, len });
    Blob { size, body }
}

#[async_trait]
impl Store for FileStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            kind: "file",
            random_access: true,
            writable: true,
        }
    }

    async fn create(
        &self,
        name: BlobName,
        attempt: Attempt,
        size_hint: Option<u64>,
    ) -> Result<(Handle, Box<dyn BlobWriter>)> {
        let names = self.0.layout.attempt(name, attempt);
        let handle = names.handle(Operation::Create)?;
        self.blocking(Operation::Create, move |inner| inner.create(size_hint, name))
            .await?;
        let state = Arc::new(AttemptState::new());
        self.0.attempts.add(name, attempt, &state);
        let writer = FileWriter::new(Arc::clone(&self.0), state, names, size_hint);
        Ok((handle, Box::new(writer)))
    }

    async fn read(&self, location: &Location, range: Option<Range<u64>>) -> Result<Blob> {
        let path = self.0.layout.resolve(location, Operation::Read)?;
        if let Some((file, size)) = self.0.opened.find(&path) {
            return Ok(blob(file, size, range));
        }
        self.blocking(Operation::Read, move |inner| {
            let (file, size) = inner.open_blob(&path, Operation::Read)?;
            let file = file
                .as_file()
                .map_err(|source| failed(Operation::Read, inner.id.clone(), source))?;
            inner.opened.keep(path, &file);
            Ok(blob(file, size, range))
        })
        .await
    }

    async fn size(&self, location: &Location) -> Result<u64> {
        let location = location.clone();
        self.blocking(Operation::Size, move |inner| {
            let path = inner.layout.resolve(&location, Operation::Size)?;
            Ok(inner.open_blob(&path, Operation::Size)?.1)
        })
        .await
    }

    fn canonical(&self, location: &Location) -> Option<Location> {
        self.0.layout.canonical(location)
    }

    async fn prepare_delete(&self, location: &Location) -> Result<()> {
        let location = location.clone();
        self.blocking(Operation::PrepareDelete, move |inner| {
            inner.prepare_delete(&location)
        })
        .await
    }

    async fn delete(&self, location: &Location) -> Result<()> {
        let location = location.clone();
        self.blocking(Operation::Delete, move |inner| inner.delete(&location))
            .await
    }

    async fn discard(&self, handle: &Handle) -> Result<()> {
        let names = self.0.layout.parse_handle(handle, Operation::Discard)?;
        if let Some(state) = self.0.attempts.find(names.blob, names.attempt) {
            state.give_up();
        }
        self.blocking(Operation::Discard, move |inner| {
            undo::discard(inner, &names, Operation::Discard)
        })
        .await
    }

    async fn settle(&self, handle: &Handle) -> Result<()> {
        let names = self.0.layout.parse_handle(handle, Operation::Settle)?;
        self.blocking(Operation::Settle, move |inner| undo::settle(inner, &names))
            .await
    }

    async fn capacity(&self) -> Result<Option<Capacity>> {
        self.blocking(Operation::Capacity, |inner| {
            let space = inner
                .disk
                .space(inner.layout.directory())
                .map_err(|source| failed(Operation::Capacity, inner.id.clone(), source))?;
            Ok(Some(Capacity {
                total: space.total,
                free: space.free,
            }))
        })
        .await
    }
}

impl fmt::Display for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "file store {} at {}",
            self.0.id,
            self.0.layout.directory().display()
        )
    }
}
