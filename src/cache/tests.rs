//! The cache on a real directory, with stores that do what a test says.

use std::{
    collections::VecDeque,
    fs,
    num::NonZeroUsize,
    os::unix::fs::FileExt,
    sync::{
        Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
};

use futures_util::{StreamExt, TryStreamExt, stream};
use saccade_store_contract::{Error, ErrorKind, Operation};
use tempfile::TempDir;
use tokio::sync::Semaphore;

use super::*;
use crate::{
    digest::Algorithm,
    image::{AttemptId, Content, Image},
};

const MIB: u64 = 1 << 20;

/// Bytes that are not all alike.
fn noise(len: u64) -> Bytes {
    (0..len as usize)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect::<Vec<u8>>()
        .into()
}

fn hash(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// An active image with this data, of which the hash is known.
fn image(number: u8, bytes: &[u8]) -> Image {
    let mut image = Image::new(ImageId::from_bytes([number; 16]), Timestamp::now());
    image.content = Some(Content {
        attempt: AttemptId::random(),
        size: bytes.len() as u64,
        virtual_size: None,
        checksum: None,
        hash_algorithm: Some(Algorithm::Sha256.name().to_owned()),
        hash_value: Some(hash(bytes)),
    });
    image
}

/// What a store does once it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Good,
    /// It refuses.
    Refuses,
    /// It breaks after so many bytes.
    BreaksAt(u64),
    /// It panics there.
    PanicsAt(u64),
}

/// A store with the data of one image. It gives chunks of 64 KiB, each when there is a permit for it.
struct Scripted {
    bytes: Bytes,
    fates: Mutex<VecDeque<Fate>>,
    permits: Arc<Semaphore>,
    opens: AtomicUsize,
    resumes: AtomicUsize,
    given: Arc<AtomicU64>,
    outdated: AtomicBool,
}

const CHUNK: u64 = 64 * 1024;

impl Scripted {
    fn new(bytes: Bytes) -> Arc<Self> {
        Self::with(bytes, Semaphore::MAX_PERMITS, &[])
    }

    /// With so many chunks at first, and these fates.
    fn with(bytes: Bytes, chunks: usize, fates: &[Fate]) -> Arc<Self> {
        Arc::new(Self {
            bytes,
            fates: Mutex::new(fates.iter().copied().collect()),
            permits: Arc::new(Semaphore::new(chunks)),
            opens: AtomicUsize::new(0),
            resumes: AtomicUsize::new(0),
            given: Arc::default(),
            outdated: AtomicBool::new(false),
        })
    }

    fn chunks(&self, range: Range<u64>, fate: Fate) -> BoxStream<'static, Result<Bytes>> {
        let (bytes, permits, given) = (self.bytes.clone(), self.permits.clone(), self.given.clone());
        let chunks = stream::try_unfold(range.start, move |at| {
            let (bytes, permits, given) = (bytes.clone(), permits.clone(), given.clone());
            async move {
                match fate {
                    Fate::BreaksAt(end) if at >= end => return Err(failed()),
                    Fate::PanicsAt(end) if at >= end => panic!("as planned"),
                    _ => {}
                }
                if at >= range.end {
                    return Ok(None);
                }
                permits.acquire().await.unwrap().forget();
                let next = at.saturating_add(CHUNK).min(range.end);
                given.fetch_add(next - at, SeqCst);
                Ok(Some((bytes.slice(at as usize..next as usize), next)))
            }
        });
        chunks.boxed()
    }
}

fn failed() -> Error {
    Error::new(ErrorKind::Unavailable, Operation::Read, "a scripted store")
}

#[async_trait]
impl Origin for Scripted {
    async fn open(&self) -> Result<BoxStream<'static, Result<Bytes>>> {
        self.opens.fetch_add(1, SeqCst);
        // Time for others to come.
        tokio::task::yield_now().await;
        match self.fates.lock().unwrap().pop_front().unwrap_or(Fate::Good) {
            Fate::Refuses => Err(failed()),
            fate => Ok(self.chunks(0..self.bytes.len() as u64, fate)),
        }
    }

    async fn resume(&self, range: Range<u64>) -> Result<BoxStream<'static, Result<Bytes>>> {
        self.resumes.fetch_add(1, SeqCst);
        Ok(self.chunks(range, Fate::Good))
    }

    async fn is_current(&self) -> bool {
        !self.outdated.load(SeqCst)
    }
}

/// A cache in a directory of its own.
struct Rig {
    cache: Cache,
    place: TempDir,
}

impl Rig {
    fn new(limit: u64) -> Self {
        let place = tempfile::tempdir().unwrap();
        let cache = open(place.path(), limit);
        Self { cache, place }
    }

    /// On a disk of so many bytes, of which so many are left to others.
    fn on_disk_of(capacity: u64, free_space_reserve: u64) -> Self {
        let place = tempfile::tempdir().unwrap();
        let options = Options {
            free_space_reserve,
            ..options(place.path(), 64 * MIB)
        };
        let free_space = move |directory: &Directory| {
            let files = directory.files().unwrap();
            let sizes = files
                .iter()
                .map(|path| fs::metadata(path).map_or(0, |found| found.len()));
            capacity.checked_sub(sizes.sum()).unwrap()
        };
        let cache = Cache::open_on(&options, digests(), Box::new(free_space)).unwrap();
        Self { cache, place }
    }

    /// A complete file is opened once more, or fails to be.
    fn opened(&self, image: &Image, result: std::io::Result<Arc<File>>) -> Opened {
        let file = self.cache.shared.lock().index.get(image.id).unwrap().file.clone();
        self.cache.opened(image.id, &file, result)
    }

    /// The next life of the daemon.
    async fn restart(self, limit: u64) -> Self {
        let Self { cache, place } = self;
        cache.close().await;
        while cache.shared.lock().running > 0 {
            tokio::task::yield_now().await;
        }
        drop(cache);
        let cache = until_some(|| Cache::open(&options(place.path(), limit), digests()).ok()).await;
        Self { cache, place }
    }

    async fn read(&self, image: &Image, origin: &Arc<Scripted>) -> Option<Body> {
        self.read_range(image, origin, None).await
    }

    async fn read_range(
        &self,
        image: &Image,
        origin: &Arc<Scripted>,
        range: Option<Range<u64>>,
    ) -> Option<Body> {
        let origin: Arc<dyn Origin> = origin.clone();
        let key = Key::of(image).unwrap();
        self.cache.read(&key, range, OnMiss::Fill, &origin).await
    }

    async fn fetch(&self, image: &Image, origin: &Arc<Scripted>) -> Fetched {
        let origin: Arc<dyn Origin> = origin.clone();
        self.cache.fetch(&Key::of(image).unwrap(), &origin).await
    }

    /// The image is cached, by somebody who reads it.
    async fn cached(&self, number: u8, len: u64) -> (Image, Arc<Scripted>) {
        let bytes = noise(len);
        let image = image(number, &bytes);
        let origin = Scripted::new(bytes);
        assert_eq!(self.fetch(&image, &origin).await, Fetched::Cached);
        (image, origin)
    }

    fn names(&self, directory: &str) -> Vec<String> {
        let path = self.place.path().join("saccade-cache").join(directory);
        let names = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    /// Nothing is under way, and nothing is left of it.
    async fn rest(&self) {
        until(|| self.cache.shared.lock().running == 0).await;
        until(|| self.names("incomplete").is_empty()).await;
        let state = self.cache.shared.lock();
        assert_eq!((state.fills.len(), state.files.len()), (0, 0));
        let complete: u64 = state.index.iter().map(|(_, entry)| entry.size).sum();
        assert_eq!(state.index.used(), complete);
    }
}

fn options(place: &Path, limit: u64) -> Options {
    Options {
        dir: place.to_owned(),
        limit,
        free_space_reserve: 0,
        stall: Duration::from_secs(5),
    }
}

fn digests() -> DigestPool {
    DigestPool::new(NonZeroUsize::MIN).unwrap()
}

/// A cache for the tests of other modules.
pub(crate) fn open(place: &Path, limit: u64) -> Cache {
    Cache::open(&options(place, limit), digests()).unwrap()
}

async fn until(mut condition: impl FnMut() -> bool) {
    until_some(|| condition().then_some(())).await;
}

async fn until_some<T>(mut find: impl FnMut() -> Option<T>) -> T {
    for _ in 0..5000 {
        if let Some(found) = find() {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("it does not come to pass");
}

fn chunks(body: Body) -> BoxStream<'static, Result<Bytes>> {
    match body {
        Body::Stream(chunks) => chunks,
        Body::File(_) => panic!("a fill is followed"),
    }
}

/// All bytes up to the end, or to an error.
async fn drain(body: Body) -> (Vec<u8>, Option<Error>) {
    match body {
        Body::File(region) => {
            let mut bytes = vec![0; usize::try_from(region.len).unwrap()];
            region.file.read_exact_at(&mut bytes, region.offset).unwrap();
            (bytes, None)
        }
        Body::Stream(mut chunks) => {
            let mut bytes = Vec::new();
            loop {
                match chunks.try_next().await {
                    Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                    Ok(None) => return (bytes, None),
                    Err(error) => return (bytes, Some(error)),
                }
            }
        }
    }
}

/// All of it.
async fn whole(body: Body) -> Vec<u8> {
    let (bytes, error) = drain(body).await;
    assert!(error.is_none(), "{error:?}");
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_readers_cost_the_store_one_read() {
    let rig = Arc::new(Rig::new(64 * MIB));
    let bytes = noise(5 * MIB + 7);
    let image = image(1, &bytes);
    let origin = Scripted::new(bytes.clone());
    let readers: Vec<_> = (0..200)
        .map(|_| {
            let (rig, image, origin) = (rig.clone(), image.clone(), origin.clone());
            tokio::spawn(async move { whole(rig.read(&image, &origin).await.unwrap()).await })
        })
        .collect();
    for reader in readers {
        assert!(reader.await.unwrap() == bytes);
    }
    rig.rest().await;
    assert_eq!((origin.opens.load(SeqCst), origin.resumes.load(SeqCst)), (1, 0));
    assert_eq!(origin.given.load(SeqCst), bytes.len() as u64);
    assert!(matches!(rig.read(&image, &origin).await, Some(Body::File(_))));
    assert_eq!(rig.cache.cached()[0].size, bytes.len() as u64);
}

#[tokio::test]
async fn empty_images_and_small_ones_are_cached_too() {
    for len in [0, 1, MIB - 1, MIB, MIB + 1] {
        let rig = Rig::new(64 * MIB);
        let bytes = noise(len);
        let image = image(1, &bytes);
        let origin = Scripted::new(bytes.clone());
        assert!(
            whole(rig.read(&image, &origin).await.unwrap()).await == bytes,
            "{len}"
        );
        rig.rest().await;
        assert!(
            whole(rig.read(&image, &origin).await.unwrap()).await == bytes,
            "{len}"
        );
        assert_eq!(origin.opens.load(SeqCst), 1);
        assert_eq!(rig.cache.cached()[0].hits, 1);
    }
}

#[tokio::test]
async fn a_reader_has_bytes_while_the_rest_is_on_its_way() {
    let rig = Rig::new(64 * MIB);
    let bytes = noise(3 * MIB);
    let image = image(1, &bytes);
    let origin = Scripted::with(bytes.clone(), 1, &[]);
    let mut fast = chunks(rig.read(&image, &origin).await.unwrap());
    let first = fast.try_next().await.unwrap().unwrap();
    assert!(first == bytes[..CHUNK as usize]);
    // One that comes later, and is slow: it begins when all is there.
    let slow = rig.read(&image, &origin).await.unwrap();
    origin.permits.add_permits(1000);
    let rest: Vec<Bytes> = fast.try_collect().await.unwrap();
    assert!([vec![first], rest].concat().concat() == bytes);
    rig.rest().await;
    assert!(whole(slow).await == bytes);
    assert_eq!(origin.opens.load(SeqCst), 1);
}

#[tokio::test]
async fn a_store_that_breaks_ends_every_reader_and_caches_nothing() {
    let rig = Rig::new(64 * MIB);
    let bytes = noise(4 * MIB);
    let image = image(1, &bytes);
    let origin = Scripted::with(bytes.clone(), 0, &[Fate::BreaksAt(2 * MIB)]);
    let bodies = [
        rig.read(&image, &origin).await.unwrap(),
        rig.read(&image, &origin).await.unwrap(),
    ];
    origin.permits.add_permits(1000);
    for body in bodies {
        let (read, error) = drain(body).await;
        assert!(error.is_some());
        assert!(read.len() <= 2 * MIB as usize && read == bytes[..read.len()]);
    }
    rig.rest().await;
    assert_eq!((rig.cache.cached(), rig.names("data").len()), (Vec::new(), 0));
    // The next one finds it whole again.
    assert!(whole(rig.read(&image, &origin).await.unwrap()).await == bytes);
}

#[tokio::test]
async fn a_store_that_refuses_is_asked_by_the_readers_themselves() {
    let rig = Rig::new(64 * MIB);
    let bytes = noise(MIB);
    let image = image(1, &bytes);
    let origin = Scripted::with(bytes, 1000, &[Fate::Refuses]);
    assert!(rig.read(&image, &origin).await.is_none());
    rig.rest().await;
    assert_eq!(rig.names("data").len(), 0);
}

#[tokio::test]
async fn too_few_and_too_many_bytes_are_no_end() {
    for len in [2 * MIB - 1, 2 * MIB + 1] {
        let rig = Rig::new(64 * MIB);
        let mut image = image(1, &noise(2 * MIB));
        if let Some(content) = &mut image.content {
            content.hash_algorithm = None;
        }
        let origin = Scripted::new(noise(len));
        let (read, error) = drain(rig.read(&image, &origin).await.unwrap()).await;
        assert!(error.is_some() && (read.len() as u64) < 2 * MIB, "{len}");
        rig.rest().await;
        assert_eq!(rig.cache.cached(), []);
    }
}

#[tokio::test]
async fn wrong_data_never_comes_to_its_end_and_is_not_cached() {
    for len in [100, 3 * MIB] {
        let rig = Rig::new(64 * MIB);
        let bytes = noise(len);
        let image = image(1, &bytes);
        let mut other = bytes.to_vec();
        other[50] ^= 1;
        let origin = Scripted::new(other.into());
        let body = rig.read(&image, &origin).await.unwrap();
        let (read, error) = drain(body).await;
        assert_eq!(error.unwrap().kind(), ErrorKind::Corrupt);
        assert!(
            read.len() as u64 <= len.saturating_sub(MIB),
            "{} of {len}",
            read.len()
        );
        rig.rest().await;
        assert_eq!((rig.cache.cached(), rig.names("data").len()), (Vec::new(), 0));
    }
}

#[tokio::test]
async fn data_of_which_no_hash_is_known_is_cached_by_its_length() {
    let rig = Rig::new(64 * MIB);
    let bytes = noise(2 * MIB);
    let mut image = image(1, &bytes);
    if let Some(content) = &mut image.content {
        content.hash_algorithm = None;
        content.hash_value = None;
    }
    let origin = Scripted::new(bytes.clone());
    assert!(whole(rig.read(&image, &origin).await.unwrap()).await == bytes);
    rig.rest().await;
    assert!(matches!(rig.read(&image, &origin).await, Some(Body::File(_))));
}

#[tokio::test]
async fn the_last_reader_ends_a_fill_that_has_only_begun() {
    let rig = Rig::new(64 * MIB);
    let bytes = noise(8 * MIB);
    let image = image(1, &bytes);
    let origin = Scripted::with(bytes.clone(), 20, &[]);
    let mut first = chunks(rig.read(&image, &origin).await.unwrap());
    let second = rig.read(&image, &origin).await.unwrap();
    first.try_next().await.unwrap().unwrap();
    drop(first);
    assert_eq!(rig.cache.shared.lock().fills.len(), 1, "somebody is left");
    drop(second);
    rig.rest().await;
    assert_eq!((rig.cache.cached(), rig.names("data").len()), (Vec::new(), 0));
    assert!(origin.given.load(SeqCst) < bytes.len() as u64);
}

#[tokio::test]
async fn a_fill_that_is_half_done_goes_on_without_readers() {
    let rig = Rig::new(64 * MIB);
    let bytes = noise(8 * MIB);
    let image = image(1, &bytes);
    let origin = Scripted::with(bytes.clone(), 100, &[]);
    let mut reader = chunks(rig.read(&image, &origin).await.unwrap());
    let mut read = 0;
    while read < 5 * MIB as usize {
        read += reader.try_next().await.unwrap().unwrap().len();
    }
    drop(reader);
    origin.permits.add_permits(1000);
    rig.rest().await;
    assert!(whole(rig.read(&image, &origin).await.unwrap()).await == bytes);
    assert_eq!(origin.opens.load(SeqCst), 1);
}

#[tokio::test]
async fn what_was_asked_for_by_name_is_fetched_without_readers() {
    let rig = Rig::new(64 * MIB);
    let bytes = noise(8 * MIB);
    let image = image(1, &bytes);
    let origin = Scripted::with(bytes.clone(), 1, &[]);
    rig.cache.enqueue(image.id);
    assert_eq!(rig.cache.queue(), [image.id]);
    let fetched = rig.fetch(&image, &origin);
    let read_a_bit = async {
        let mut reader = chunks(rig.read(&image, &origin).await.unwrap());
        reader.try_next().await.unwrap().unwrap();
        drop(reader);
        origin.permits.add_permits(1000);
    };
    let (fetched, ()) = tokio::join!(fetched, read_a_bit);
    assert_eq!((fetched, origin.opens.load(SeqCst)), (Fetched::Cached, 1));
    assert_eq!(rig.cache.queue(), []);
    assert!(!rig.cache.enqueue(image.id), "it is cached already");
}

#[tokio::test]
async fn images_that_are_removed_while_they_are_read_are_read_to_their_end() {
    let rig = Rig::new(64 * MIB);
    // Complete, and on its way.
    let (complete, store) = rig.cached(1, 3 * MIB).await;
    let bytes = noise(8 * MIB);
    let filling = image(2, &bytes);
    let origin = Scripted::with(bytes.clone(), 1, &[]);
    let complete_body = rig.read(&complete, &store).await.unwrap();
    let filling_body = rig.read(&filling, &origin).await.unwrap();
    assert!(rig.cache.evict(complete.id) && rig.cache.evict(filling.id));
    assert_eq!(rig.cache.cached(), []);
    origin.permits.add_permits(1000);
    assert!(whole(complete_body).await == noise(3 * MIB));
    assert!(whole(filling_body).await == bytes);
    rig.rest().await;
    until(|| rig.names("data").is_empty()).await;
    assert_eq!(rig.cache.cached(), []);
    assert!(!rig.cache.evict(complete.id));
}

#[tokio::test]
async fn data_that_is_the_images_no_more_is_not_cached() {
    let rig = Rig::new(64 * MIB);
    let bytes = noise(2 * MIB);
    let image = image(1, &bytes);
    let origin = Scripted::new(bytes.clone());
    origin.outdated.store(true, SeqCst);
    assert!(whole(rig.read(&image, &origin).await.unwrap()).await == bytes);
    rig.rest().await;
    assert_eq!((rig.cache.cached(), rig.names("data").len()), (Vec::new(), 0));
}

#[tokio::test]
async fn new_data_of_an_image_never_meets_the_old() {
    let rig = Rig::new(64 * MIB);
    let (old, _) = rig.cached(1, 2 * MIB).await;
    // The same length.
    let bytes: Bytes = noise(2 * MIB).iter().rev().copied().collect::<Vec<u8>>().into();
    let new = image(1, &bytes);
    assert_eq!(new.id, old.id);
    let origin = Scripted::new(bytes.clone());
    assert!(whole(rig.read(&new, &origin).await.unwrap()).await == bytes);
    rig.rest().await;
    assert!(whole(rig.read(&new, &origin).await.unwrap()).await == bytes);
    assert_eq!((origin.opens.load(SeqCst), rig.names("data").len()), (1, 1));
    rig.cache.keep_only(new.id, Key::of(&new).as_ref());
    assert!(rig.cache.is_cached(new.id));
    rig.cache.keep_only(new.id, Key::of(&old).as_ref());
    assert!(!rig.cache.is_cached(new.id));
}

#[tokio::test]
async fn the_limit_holds_whoever_comes_and_what_is_read_stays() {
    let rig = Arc::new(Rig::new(10 * MIB));
    let (first, store) = rig.cached(1, 4 * MIB).await;
    let held = rig.read(&first, &store).await.unwrap();
    let tasks: Vec<_> = (2..30)
        .map(|number| {
            let rig = rig.clone();
            tokio::spawn(async move {
                let bytes = noise(u64::from(number % 5) * MIB + 1);
                let image = image(number, &bytes);
                let origin = Scripted::new(bytes.clone());
                if let Some(body) = rig.read(&image, &origin).await {
                    assert!(whole(body).await == bytes);
                }
                let state = rig.cache.shared.lock();
                assert!(state.index.used() <= 10 * MIB);
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    rig.rest().await;
    assert!(rig.cache.is_cached(first.id), "it is being read");
    assert!(whole(held).await == noise(4 * MIB));
    let used: u64 = rig.cache.cached().iter().map(|cached| cached.size).sum();
    assert!(used <= 10 * MIB);
    let on_disk = || {
        let sizes = rig.names("data").into_iter().map(|name| {
            let path = rig.place.path().join("saccade-cache/data").join(name);
            fs::metadata(path).map_or(0, |found| found.len())
        });
        sizes.sum::<u64>()
    };
    until(|| on_disk() == used).await;
    // One more that does not fit at all, and one that fits if others go.
    let large = noise(11 * MIB);
    assert!(
        rig.read(&image(90, &large), &Scripted::new(large))
            .await
            .is_none()
    );
    rig.cached(91, 10 * MIB).await;
    assert_eq!(rig.cache.cached().len(), 1);
}

#[tokio::test]
async fn what_is_read_lets_nothing_else_in() {
    let rig = Rig::new(4 * MIB);
    let (first, store) = rig.cached(1, 3 * MIB).await;
    let held = rig.read(&first, &store).await.unwrap();
    let bytes = noise(2 * MIB);
    let second = image(2, &bytes);
    let origin = Scripted::new(bytes.clone());
    assert!(rig.read(&second, &origin).await.is_none());
    assert_eq!(rig.fetch(&second, &origin).await, Fetched::NoRoom);
    drop(held);
    assert_eq!(rig.fetch(&second, &origin).await, Fetched::Cached);
    assert!(!rig.cache.is_cached(first.id));
}

#[tokio::test]
async fn trouble_with_the_local_disk_is_no_readers_trouble() {
    let rig = Rig::new(64 * MIB);
    let bytes = noise(6 * MIB);
    let image = image(1, &bytes);
    let origin = Scripted::with(bytes.clone(), 40, &[]);
    let mut early = chunks(rig.read(&image, &origin).await.unwrap());
    let late = rig.read(&image, &origin).await.unwrap();
    let first = early.try_next().await.unwrap().unwrap();
    let fill = rig.cache.shared.lock().fills.values().next().unwrap().clone();
    fill.end(State::GivenUp(Reason::Local));
    origin.permits.add_permits(1000);
    let rest: Vec<Bytes> = early.try_collect().await.unwrap();
    assert!([vec![first], rest].concat().concat() == bytes);
    assert!(whole(late).await == bytes);
    assert_eq!(origin.resumes.load(SeqCst), 2);
}

#[tokio::test]
async fn a_write_that_fails_is_the_cache_s_trouble_and_not_the_store_s() {
    let rig = Rig::new(64 * MIB);
    let bytes = noise(3 * MIB);
    let room = room::Room::new(rig.cache.shared.clone(), 3 * MIB, room::STEP);
    room.promise().unwrap();
    room.extend(0, &tempfile::tempfile().unwrap()).unwrap();
    let fill = Fill::new(Key::of(&image(1, &bytes)).unwrap());
    let origin = Scripted::new(bytes);
    // It can be read only.
    let file = tempfile::NamedTempFile::new().unwrap();
    let file = Arc::new(File::open(file.path()).unwrap());
    fill.begin(file.clone());
    let chunks = origin.open().await.unwrap();
    let failure = fill
        .run(chunks, file, &room, &digests(), Duration::from_secs(5))
        .await;
    assert!(matches!(failure, Err(fill::Failure::Local(_))), "{failure:?}");
    assert_eq!(fill.watch().borrow().written, 0);
}

#[tokio::test]
async fn a_directory_that_is_gone_is_no_readers_trouble() {
    let rig = Rig::new(64 * MIB);
    let (first, store) = rig.cached(1, MIB).await;
    fs::remove_dir_all(rig.place.path()).unwrap();
    assert!(rig.read(&first, &store).await.is_none(), "the store is asked");
    let bytes = noise(MIB);
    assert!(rig.read(&image(2, &bytes), &Scripted::new(bytes)).await.is_none());
    assert_eq!(rig.cache.cached(), []);
}

#[tokio::test]
async fn a_file_that_somebody_has_changed_is_not_served() {
    let rig = Rig::new(64 * MIB);
    let (first, store) = rig.cached(1, MIB).await;
    let path = rig
        .place
        .path()
        .join("saccade-cache/data")
        .join(&rig.names("data")[0]);
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(b"x", 5).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    let body = rig.read(&first, &store).await.unwrap();
    assert!(matches!(body, Body::Stream(_)), "it is filled again");
    assert!(whole(body).await == noise(MIB));
    assert_eq!(store.opens.load(SeqCst), 2);
}

#[tokio::test]
async fn a_panic_within_a_fill_leaves_no_reader_waiting_and_nothing_taken() {
    let rig = Rig::new(64 * MIB);
    let bytes = noise(3 * MIB);
    let image = image(1, &bytes);
    let origin = Scripted::with(bytes.clone(), 2, &[Fate::PanicsAt(MIB)]);
    let body = rig.read(&image, &origin).await.unwrap();
    origin.permits.add_permits(1000);
    assert!(whole(body).await == bytes);
    assert_eq!(origin.resumes.load(SeqCst), 1);
    rig.cache.clean().await;
    rig.rest().await;
    assert!(
        rig.cache.shared.lock().index.promise(64 * MIB, 0).is_ok(),
        "all room is free"
    );
}

#[tokio::test]
async fn ranges_are_served_from_what_is_there_or_soon_will_be() {
    let rig = Rig::new(200 * MIB);
    let bytes = noise(70 * MIB);
    let image = image(1, &bytes);
    let origin = Scripted::with(bytes.clone(), 32, &[]);
    assert!(
        rig.read_range(&image, &origin, Some(0..10)).await.is_none(),
        "a range alone begins nothing"
    );
    assert_eq!(origin.opens.load(SeqCst), 0);
    let reader = rig.read(&image, &origin).await.unwrap();
    let near = rig
        .read_range(&image, &origin, Some(3 * MIB..3 * MIB + 9))
        .await
        .unwrap();
    let fill = rig.cache.shared.lock().fills.values().next().unwrap().clone();
    until(|| fill.watch().borrow().written == 2 * MIB).await;
    assert!(
        rig.read_range(&image, &origin, Some(67 * MIB..68 * MIB))
            .await
            .is_none()
    );
    drop(fill);
    origin.permits.add_permits(10_000);
    assert!(whole(near).await == bytes[3 * MIB as usize..3 * MIB as usize + 9]);
    assert!(whole(reader).await == bytes);
    rig.rest().await;
    let Some(Body::File(region)) = rig.read_range(&image, &origin, Some(5..9)).await else {
        panic!("it is complete")
    };
    assert_eq!((region.offset, region.len), (5, 4));
    assert_eq!(origin.opens.load(SeqCst), 1);
}

#[tokio::test]
async fn a_restart_finds_what_was_complete_and_nothing_else() {
    let rig = Rig::new(64 * MIB);
    let (first, store) = rig.cached(1, 2 * MIB).await;
    rig.read(&first, &store).await.unwrap();
    rig.cache.enqueue(ImageId::from_bytes([9; 16]));
    let bytes = noise(8 * MIB);
    let half = Scripted::with(bytes.clone(), 70, &[]);
    let reader = rig.read(&image(2, &bytes), &half).await.unwrap();
    drop(reader);
    let rig = rig.restart(64 * MIB).await;
    let cached = rig.cache.cached();
    assert_eq!(cached.len(), 1);
    assert_eq!(
        (cached[0].image, cached[0].hits, cached[0].number),
        (first.id, 1, 1)
    );
    assert_eq!(rig.cache.queue().len(), 1);
    assert!(whole(rig.read(&first, &store).await.unwrap()).await == noise(2 * MIB));
    assert_eq!(store.opens.load(SeqCst), 1);
    rig.rest().await;
    let (_, _) = rig.cached(3, 10).await;
    assert_eq!(rig.cache.cached()[1].number, 2);
    let rig = rig.restart(10).await;
    assert_eq!(rig.cache.cached().len(), 1, "the limit is lower now");
}

#[tokio::test]
async fn no_more_fills_run_than_may() {
    let rig = Rig::new(64 * MIB);
    let mut held = Vec::new();
    for number in 0..FILLS_AT_ONCE as u8 {
        let bytes = noise(MIB + u64::from(number));
        let origin = Scripted::with(bytes.clone(), 1, &[]);
        held.push(rig.read(&image(number, &bytes), &origin).await.unwrap());
    }
    let bytes = noise(MIB);
    let one_more = image(99, &bytes);
    let origin = Scripted::new(bytes);
    assert!(rig.read(&one_more, &origin).await.is_none());
    assert_eq!(rig.fetch(&one_more, &origin).await, Fetched::Busy);
    drop(held);
    rig.rest().await;
    assert_eq!(rig.fetch(&one_more, &origin).await, Fetched::Cached);
}

#[tokio::test]
async fn clearing_and_cleaning_leave_nothing_behind() {
    let rig = Rig::new(64 * MIB);
    rig.cached(1, 10).await;
    rig.cached(2, 10).await;
    let bytes = noise(8 * MIB);
    let origin = Scripted::with(bytes.clone(), 2, &[]);
    let reader = rig.read(&image(3, &bytes), &origin).await.unwrap();
    rig.cache.enqueue(ImageId::from_bytes([9; 16]));
    let root = rig.place.path().join("saccade-cache");
    fs::write(root.join("incomplete/left"), "over").unwrap();
    fs::write(root.join("data/left"), "over").unwrap();
    rig.cache.clean().await;
    assert_eq!(
        (rig.names("incomplete").len(), rig.names("data").len()),
        (1, 2),
        "what is in use stays"
    );
    assert_eq!(rig.cache.prune(), Pruned { files: 0, bytes: 0 });
    assert_eq!((rig.cache.clear(), rig.cache.clear_queue()), (2, 1));
    assert_eq!((rig.cache.cached(), rig.cache.queue()), (Vec::new(), Vec::new()));
    origin.permits.add_permits(1000);
    assert!(whole(reader).await == bytes);
    rig.rest().await;
    until(|| rig.names("data").is_empty()).await;
    assert_eq!(rig.cache.cached(), []);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_falls_silent_is_given_up_in_time() {
    let rig = Rig::new(64 * MIB);
    let bytes = noise(2 * MIB);
    let origin = Scripted::with(bytes.clone(), 1, &[]);
    let (_, error) = drain(rig.read(&image(1, &bytes), &origin).await.unwrap()).await;
    assert!(error.is_some());
}

/// An image of which no hash is known.
fn unhashed(number: u8, bytes: &[u8]) -> Image {
    let mut image = image(number, b"");
    if let Some(content) = &mut image.content {
        content.size = bytes.len() as u64;
        content.hash_algorithm = None;
        content.hash_value = None;
    }
    image
}

#[tokio::test]
async fn a_fill_that_is_broken_off_lets_go_what_it_has_needed_and_no_more() {
    let rig = Rig::new(76 * MIB);
    let (first, _) = rig.cached(1, 8 * MIB).await;
    let bytes = Bytes::from(vec![7; 72 * MIB as usize]);
    let large = unhashed(2, &bytes);
    let origin = Scripted::with(bytes.clone(), 1, &[]);
    let mut reader = chunks(rig.read(&large, &origin).await.unwrap());
    reader.try_next().await.unwrap().unwrap();
    drop(reader);
    rig.rest().await;
    assert!(rig.cache.is_cached(first.id));
    origin.permits.add_permits(10_000);
    assert_eq!(rig.fetch(&large, &origin).await, Fetched::Cached);
    assert!(!rig.cache.is_cached(first.id));
    assert!(whole(rig.read(&large, &origin).await.unwrap()).await == bytes);
}

#[tokio::test]
async fn room_is_taken_in_steps_and_given_back() {
    let rig = Rig::new(5 * MIB);
    let (first, _) = rig.cached(1, 2 * MIB).await;
    let (second, store) = rig.cached(2, 2 * MIB).await;
    let file = tempfile::tempfile().unwrap();
    let room = room::Room::new(rig.cache.shared.clone(), 4 * MIB, MIB);
    room.promise().unwrap();
    let len = || file.metadata().unwrap().len();
    room.extend(0, &file).unwrap();
    assert_eq!((len(), rig.cache.cached().len()), (MIB, 2));
    room.extend(MIB + 1, &file).unwrap();
    assert_eq!((len(), rig.cache.is_cached(first.id)), (2 * MIB, false));
    until(|| rig.names("data").len() == 1).await;
    room.extend(2 * MIB + 1, &file).unwrap();
    // What was to go is read now: there is no room after all, and nothing is taken.
    let held = rig.read(&second, &store).await.unwrap();
    let failure = room.extend(3 * MIB + 1, &file).unwrap_err();
    assert!(matches!(failure, fill::Failure::NoRoom(index::NoRoom::Limit)));
    assert_eq!((len(), rig.cache.is_cached(second.id)), (3 * MIB, true));
    // Another one would have to wait for the rest, too.
    let other = room::Room::new(rig.cache.shared.clone(), 1, MIB);
    assert!(other.promise().is_err());
    drop(room);
    other.promise().unwrap();
    drop((held, other));
    assert_eq!(rig.cache.shared.lock().index.promised(), 0);
    rig.cached(3, 5 * MIB).await;
}

#[tokio::test]
async fn the_cache_leaves_others_the_free_space_that_is_reserved() {
    let rig = Rig::on_disk_of(10 * MIB, 4 * MIB);
    let (first, _) = rig.cached(1, 3 * MIB).await;
    let (second, store) = rig.cached(2, 3 * MIB).await;
    let (third, _) = rig.cached(3, 2 * MIB).await;
    assert!(!rig.cache.is_cached(first.id), "it had to go");
    assert!(rig.cache.is_cached(second.id) && rig.cache.is_cached(third.id));
    let bytes = noise(6 * MIB + 1);
    let origin = Scripted::new(bytes.clone());
    assert_eq!(rig.fetch(&image(4, &bytes), &origin).await, Fetched::NoRoom);
    assert!(rig.read(&image(4, &bytes), &origin).await.is_none());
    rig.rest().await;
    assert_eq!(rig.cache.cached().len(), 2, "nothing goes for what does not fit");
    // What is read stays.
    let held = rig.read(&second, &store).await.unwrap();
    let bytes = noise(4 * MIB);
    let origin = Scripted::new(bytes.clone());
    assert_eq!(rig.fetch(&image(5, &bytes), &origin).await, Fetched::NoRoom);
    drop(held);
    assert_eq!(rig.fetch(&image(5, &bytes), &origin).await, Fetched::Cached);
}

#[tokio::test]
async fn those_who_open_a_file_at_once_have_the_same_and_it_stays_as_long_as_one_reads() {
    let rig = Rig::new(4 * MIB);
    let (first, _) = rig.cached(1, 3 * MIB).await;
    let path = rig
        .place
        .path()
        .join("saccade-cache/data")
        .join(&rig.names("data")[0]);
    until(|| !rig.cache.shared.lock().index.get(first.id).unwrap().is_read()).await;
    let open = || Ok(Arc::new(File::open(&path).unwrap()));
    let (Opened::File(one), Opened::File(two)) = (rig.opened(&first, open()), rig.opened(&first, open()))
    else {
        panic!("both are opened")
    };
    assert!(Arc::ptr_eq(&one, &two));
    drop(two);
    let bytes = noise(2 * MIB);
    let origin = Scripted::new(bytes.clone());
    assert_eq!(rig.fetch(&image(2, &bytes), &origin).await, Fetched::NoRoom);
    // One that cannot open it has it from those who could.
    let refused = Err(std::io::Error::from_raw_os_error(24));
    assert!(matches!(rig.opened(&first, refused), Opened::File(_)));
    drop(one);
    assert_eq!(rig.fetch(&image(2, &bytes), &origin).await, Fetched::Cached);
}

#[tokio::test]
async fn a_machine_that_is_short_of_something_loses_no_cached_file() {
    use rustix::io::Errno;
    let rig = Rig::new(4 * MIB);
    let (first, store) = rig.cached(1, MIB).await;
    for errno in [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOMEM,
        Errno::INTR,
        Errno::AGAIN,
        Errno::ACCESS,
    ] {
        until(|| !rig.cache.shared.lock().index.get(first.id).unwrap().is_read()).await;
        assert!(
            matches!(rig.opened(&first, Err(errno.into())), Opened::NotNow),
            "{errno}"
        );
    }
    assert!(matches!(rig.read(&first, &store).await, Some(Body::File(_))));
    assert!(matches!(rig.opened(&first, Err(Errno::IO.into())), Opened::Lost));
    assert!(!rig.cache.is_cached(first.id));
}

#[tokio::test]
async fn what_is_asked_for_while_it_is_read_waits_in_the_queue_until_it_is_cached() {
    let rig = Rig::new(64 * MIB);
    let bytes = noise(4 * MIB);
    let image = image(1, &bytes);
    let origin = Scripted::with(bytes.clone(), 1, &[Fate::BreaksAt(2 * MIB)]);
    for is_cached in [false, true] {
        let reader = rig.read(&image, &origin).await.unwrap();
        assert_eq!(rig.cache.enqueue(image.id), !is_cached, "it is queued once");
        assert_eq!(rig.cache.newly_queued().len(), usize::from(!is_cached));
        drop(reader);
        origin.permits.add_permits(1000);
        rig.rest().await;
        assert_eq!(rig.cache.is_cached(image.id), is_cached);
        assert_eq!(rig.cache.queue().is_empty(), is_cached);
    }
}

#[tokio::test]
async fn whoever_fetches_an_image_is_told_why_it_is_not_cached() {
    let rig = Rig::new(4 * MIB);
    let bytes = noise(2 * MIB);
    let (right, large) = (image(1, &bytes), noise(4 * MIB + 1));
    let fates = [Fate::Refuses, Fate::BreaksAt(MIB)];
    let origin = Scripted::with(bytes.clone(), 1000, &fates);
    assert_eq!(rig.fetch(&right, &origin).await, Fetched::Failed);
    assert_eq!(rig.fetch(&right, &origin).await, Fetched::Broken);
    let wrong = Scripted::new(bytes.iter().rev().copied().collect::<Vec<u8>>().into());
    assert_eq!(rig.fetch(&right, &wrong).await, Fetched::Wrong);
    let too_large = rig.fetch(&image(2, &large), &Scripted::new(large)).await;
    assert_eq!(too_large, Fetched::TooLarge);
}

#[tokio::test]
async fn an_index_that_is_being_written_when_the_daemon_stops_is_followed_by_the_last() {
    let rig = Rig::new(64 * MIB);
    for number in 1..20 {
        rig.cached(number, 10).await;
        rig.cache.enqueue(ImageId::from_bytes([100 + number; 16]));
        // Dropped where it waits for the disk.
        assert!(futures_util::FutureExt::now_or_never(rig.cache.save()).is_none());
        rig.cache.enqueue(ImageId::from_bytes([200 + number; 16]));
        rig.cache.close().await;
        let path = rig.place.path().join("saccade-cache");
        let index: serde_json::Value =
            serde_json::from_slice(&fs::read(path.join("index.json")).unwrap()).unwrap();
        assert_eq!(index["queue"].as_array().unwrap().len(), 2 * usize::from(number));
        let names = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        assert_eq!(
            names
                .filter(|name| name.to_str().unwrap().contains("new"))
                .count(),
            0
        );
    }
}
