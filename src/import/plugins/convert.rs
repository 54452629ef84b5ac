//! `image_conversion`: every image is stored in one format (Glance 33, `image_conversion.py`).
//!
//! Before the process that converts is started, the data is in a file, and the inspector has found it to be what it is
//! said to be, safe, and whole in itself. What has come out is looked at again on its way to the stores.

use std::{
    fs::File,
    io::Write,
    ops::ControlFlow,
    os::unix::fs::{FileExt, MetadataExt},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures_util::StreamExt;
use saccade_conversion::{Conversion, ConvertError, Converter, SourceFormat, TargetFormat};
use saccade_store_contract::FileRegion;
use tokio::sync::Semaphore;

use super::{
    guard::{Guard, failed, guarded},
    space::Space,
};
use crate::{
    inspect::Report,
    transfer::{Bounds, Data, Incoming, Passing, Plugin, UploadErrorKind, broken_off},
};

/// Its name in the configuration.
pub(super) const NAME: &str = "image_conversion";

/// How often the space on the node's disk is looked at.
const LOOK: Duration = Duration::from_millis(25);

/// What is read of a file at once, in bytes.
const BLOCK: usize = 1 << 20;

/// How many of those a thread reads before others have their turn.
const BLOCKS: usize = 4;

/// The unit of disks' lengths, and of `st_blocks`, in bytes.
const SECTOR: u64 = 512;

/// The plugin.
#[derive(Debug)]
pub struct Conversions {
    converter: Arc<Converter>,
    to: TargetFormat,
    /// Conversions side by side.
    permits: Semaphore,
    space: Space,
}

impl Conversions {
    /// To this format, so many side by side at most.
    pub fn new(converter: Converter, to: TargetFormat, at_once: usize) -> Self {
        Self {
            converter: Arc::new(converter),
            to,
            permits: Semaphore::new(at_once),
            space: Space::default(),
        }
    }
}

#[async_trait]
impl Plugin for Conversions {
    async fn apply(&self, mut passing: Passing, bounds: &Bounds<'_>) -> Result<Passing, UploadErrorKind> {
        let guard = Guard::new(&passing.disk_format, bounds.rules());
        // An installation medium stays one; what has the format already needs no file either.
        if passing.disk_format == "iso" || passing.disk_format == self.to.name() {
            passing.data = Data::Stream(guarded(passing.data.into_incoming(), guard));
            return Ok(passing);
        }
        let Some(from) = SourceFormat::from_name(&passing.disk_format) else {
            return Err(failed(format!(
                "disk_format {} cannot be converted to {}",
                passing.disk_format,
                self.to.name()
            )));
        };
        if passing.container_format != "bare" {
            return Err(failed(format!(
                "only images with container_format bare can be converted, and not {}",
                passing.container_format
            )));
        }
        let (source, report) = self.inspected(passing.data, guard, bounds).await?;
        admit(&report, self.to, bounds)?;
        let permit = self.permits.acquire().await;
        let _permit = permit.map_err(|_| UploadErrorKind::Unavailable)?;
        let expected = report
            .fixed_vhd
            .filter(|_| from == SourceFormat::Vhd)
            .or(report.virtual_size);
        let (result, length) = self.convert(source, from, expected, bounds).await?;
        if self.to == TargetFormat::Raw
            && expected.is_none_or(|size| size.checked_next_multiple_of(SECTOR) != Some(length))
        {
            // Then the inspector and the converter have not seen the same disk.
            return Err(failed(format!(
                "the disk was to have {} bytes, and has {length} converted",
                expected.unwrap_or(0)
            )));
        }
        let region = FileRegion {
            file: Arc::new(result),
            offset: 0,
            len: length,
        };
        let guard = Guard::new(self.to.name(), bounds.rules());
        Ok(Passing {
            data: Data::Stream(guarded(Data::File(region).into_incoming(), guard)),
            disk_format: self.to.name().to_owned(),
            container_format: "bare".to_owned(),
        })
    }
}

impl Conversions {
    /// The data in a file, once it has passed.
    async fn inspected(
        &self,
        data: Data,
        guard: Guard,
        bounds: &Bounds<'_>,
    ) -> Result<(Arc<File>, Report), UploadErrorKind> {
        match data {
            // What was staged is a file of its own.
            Data::File(region) if region.offset == 0 => read_through(region, guard).await,
            other => self.written(other.into_incoming(), guard, bounds).await,
        }
    }

    /// Writes a stream to a file without a name, and looks at it meanwhile.
    async fn written(
        &self,
        incoming: Incoming,
        mut guard: Guard,
        bounds: &Bounds<'_>,
    ) -> Result<(Arc<File>, Report), UploadErrorKind> {
        let converter = Arc::clone(&self.converter);
        let mut file = blocking(move || converter.scratch().map_err(|error| not_written(&error))).await?;
        let spare = bounds.spare();
        let mut promise = self.space.promise(incoming.size.unwrap_or(0), spare())?;
        let (mut chunks, mut received, mut looked) = (incoming.chunks, 0_u64, Instant::now());
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| broken_off(&*error))?;
            received = received.saturating_add(chunk.len() as u64);
            bounds.check(received)?;
            guard.push(&chunk)?;
            if looked.elapsed() >= LOOK {
                promise.written(received);
                if promise.most(spare()) == 0 {
                    return Err(UploadErrorKind::StoreFull);
                }
                looked = Instant::now();
            }
            file = blocking(move || {
                let written = file.write_all(&chunk);
                written.map(|()| file).map_err(|error| not_written(&error))
            })
            .await?;
        }
        if let Some(declared) = incoming.size.filter(|size| *size != received) {
            return Err(UploadErrorKind::SizeMismatch { declared, received });
        }
        Ok((Arc::new(file), guard.finish()?))
    }

    /// Runs the process; it is killed when nobody waits for it any more. `expected`: the length of the disk.
    async fn convert(
        &self,
        source: Arc<File>,
        from: SourceFormat,
        expected: Option<u64>,
        bounds: &Bounds<'_>,
    ) -> Result<(File, u64), UploadErrorKind> {
        let wanted = Wanted(Arc::new(AtomicBool::new(true)));
        let is_wanted = Arc::clone(&wanted.0);
        let (converter, space, to) = (Arc::clone(&self.converter), self.space.clone(), self.to);
        let (cap, spare) = (bounds.size_cap(), bounds.spare());
        let begun = Instant::now();
        let converted = blocking(move || {
            let destination = converter.scratch().map_err(|error| not_written(&error))?;
            // The result takes up about what the image does: more if that is compressed, and less if the disk is smaller.
            let image = source.metadata().map_err(|error| broken_off(&error))?.len();
            let disk = expected.and_then(|size| size.checked_next_multiple_of(SECTOR));
            let mut promise = space.promise(disk.map_or(image, |disk| disk.min(image)), spare())?;
            // The length of a raw disk is known, and most of it may take up nothing. Other files are not much longer than what they
            // take up.
            let room = promise.most(spare());
            let most = match disk.filter(|_| to == TargetFormat::Raw) {
                Some(disk) => cap.min(disk),
                None => cap.min(room),
            };
            let conversion = Conversion {
                source: &source,
                from,
                destination: &destination,
                to,
                most,
            };
            let mut is_full = false;
            let length = converter.convert(&conversion, &mut || {
                promise.written(taken_up(&destination));
                is_full = promise.most(spare()) == 0;
                match is_wanted.load(Ordering::Relaxed) && !is_full {
                    true => ControlFlow::Continue(()),
                    false => ControlFlow::Break(()),
                }
            });
            match length {
                Ok(length) => Ok((destination, length)),
                Err(ConvertError::Stopped) if is_full => Err(UploadErrorKind::StoreFull),
                Err(ConvertError::TooLong(most)) if most == room && room < cap => {
                    Err(UploadErrorKind::StoreFull)
                }
                Err(error) => Err(told(&error)),
            }
        });
        let (result, length) = converted.await?;
        tracing::info!(
            from = from.name(),
            to = to.name(),
            size = length,
            seconds = begun.elapsed().as_secs_f64(),
            "image converted"
        );
        Ok((result, length))
    }
}

/// Dropped: the conversion is not wanted any more.
struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// What can be said before a process is started.
fn admit(report: &Report, to: TargetFormat, bounds: &Bounds<'_>) -> Result<(), UploadErrorKind> {
    if report.details.iter().any(|detail| detail.name == "encryption") {
        return Err(failed("the image is encrypted: it cannot be converted"));
    }
    match report.fixed_vhd.or(report.virtual_size) {
        None => Err(failed("the image does not say how large its disk is")),
        // A raw disk takes up what it seems to.
        Some(size) if to == TargetFormat::Raw => bounds.check(size),
        Some(_) => Ok(()),
    }
}

/// Reads a file, a few blocks at a time: no thread is kept for long, and whoever does not wait for it any more ends it.
async fn read_through(region: FileRegion, mut guard: Guard) -> Result<(Arc<File>, Report), UploadErrorKind> {
    let mut block = vec![0; BLOCK];
    let mut at = 0_u64;
    while at < region.len {
        let (file, end) = (Arc::clone(&region.file), region.len);
        (guard, block, at) = blocking(move || {
            for _ in 0..BLOCKS {
                let length = usize::try_from(end.saturating_sub(at)).map_or(BLOCK, |rest| rest.min(BLOCK));
                let part = block.get_mut(..length).unwrap_or_default();
                let read = file.read_exact_at(part, at);
                read.map_err(|error| broken_off(&error))?;
                guard.push(part)?;
                at = at.saturating_add(length as u64);
            }
            Ok((guard, block, at))
        })
        .await?;
    }
    Ok((region.file, guard.finish()?))
}

/// The bytes of the disk that a file has.
fn taken_up(file: &File) -> u64 {
    let found = file.metadata();
    found.map_or(0, |found| found.blocks().saturating_mul(SECTOR))
}

/// On a thread that may wait, to its end: it outlives a future that is dropped.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, UploadErrorKind> + Send + 'static,
) -> Result<T, UploadErrorKind> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or(Err(UploadErrorKind::Unavailable))
}

fn not_written(error: &std::io::Error) -> UploadErrorKind {
    tracing::warn!(%error, "a file for a conversion cannot be written");
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => UploadErrorKind::StoreFull,
        _ => UploadErrorKind::Unavailable,
    }
}

fn told(error: &ConvertError) -> UploadErrorKind {
    match error {
        ConvertError::Failed(_)
        | ConvertError::TooLong(_)
        | ConvertError::TimedOut(_)
        | ConvertError::Stopped => {}
        ConvertError::Start(_) | ConvertError::NotConfined(_) | ConvertError::Killed { .. } => {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            tracing::error!(%error, cause, "an image cannot be converted");
        }
    }
    failed(error.to_string())
}
