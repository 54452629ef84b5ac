//! What only this implementation does: keep things, group them, and survive its disk.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use futures_util::future::join_all;

use super::*;
use crate::{
    image::{
        AttemptId, Change, ChangeKind, ClaimPhase, Image, Listing, NodeId, Rejection, Revision, Timestamp,
        Viewer, VisibilityFilter,
    },
    metadata::{Condition, DefineError, Filter, MetadefStore, Order, Text},
    metadefs,
};

/// A failure that the next write, or the next try to open the database again, has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    BeforeWrite,
    AfterWrite,
    Recovery,
}

impl Database {
    fn take(&self, fault: Fault) -> bool {
        let mut faults = self.faults.lock().unwrap();
        let found = faults.iter().position(|planned| *planned == fault);
        found.map(|index| faults.remove(index)).is_some()
    }

    pub(super) fn fail_before_write(&self) -> Result<(), ::rocksdb::Error> {
        self.fail(Fault::BeforeWrite)
    }

    pub(super) fn fail_after_write(&self) -> Result<(), ::rocksdb::Error> {
        self.fail(Fault::AfterWrite)
    }

    fn fail(&self, fault: Fault) -> Result<(), ::rocksdb::Error> {
        if self.take(fault) {
            // An I/O error that RocksDB itself makes.
            return DB::list_cf(&::rocksdb::Options::default(), "/nonexistent").map(drop);
        }
        Ok(())
    }

    pub(super) fn fail_recovery(&self) -> Result<(), MetadataError> {
        if self.take(Fault::Recovery) {
            return Err(MetadataError::new(MetadataErrorKind::Unavailable));
        }
        Ok(())
    }
}

const SMALL: Options = Options {
    block_cache: 1 << 20,
    write_buffer: 1 << 20,
};

fn id(number: u32) -> ImageId {
    let mut bytes = [7; 16];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    ImageId::from_bytes(bytes)
}

fn image(number: u32) -> Image {
    Image {
        disk_format: Some("raw".into()),
        container_format: Some("bare".into()),
        ..Image::new(id(number), Timestamp::from_micros(u64::from(number)))
    }
}

fn change(number: u32, kind: ChangeKind) -> Change {
    Change {
        id: id(number),
        at: Timestamp::from_micros(9),
        kind,
    }
}

fn creation(number: u32) -> Change {
    change(number, ChangeKind::Create(Box::new(image(number))))
}

fn claim(number: u8) -> ChangeKind {
    ChangeKind::Claim(Claim {
        attempt: AttemptId::from_bytes([number; 16]),
        node: NodeId::from_bytes([1; 16]),
        expires_at: Timestamp::from_micros(0),
        phase: ClaimPhase::Open,
    })
}

fn all() -> Query {
    Query {
        listing: Listing {
            viewer: Viewer::Admin(None),
            visibility: Some(VisibilityFilter::All),
            member_status: None,
        },
        filter: Filter::default(),
        order: Order::newest_first(),
        marker: None,
        limit: usize::MAX,
    }
}

async fn count(store: &RocksMetadata) -> usize {
    store.list(all()).await.unwrap().images.len()
}

async fn kind(store: &RocksMetadata, change: Change) -> Option<MetadataErrorKind> {
    store.commit(change).await.err().map(|error| error.kind)
}

fn open(path: &Path) -> RocksMetadata {
    RocksMetadata::open(path, SMALL).unwrap()
}

fn refusal(path: &Path) -> OpenErrorKind {
    RocksMetadata::open(path, SMALL).unwrap_err().kind
}

/// The directory as a crash would leave it now, the log cut or changed by `damage`.
fn crash(dir: &Path, damage: impl FnOnce(&mut Vec<u8>)) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in fs::read_dir(dir).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    let log = files(copy.path(), "log").pop().unwrap();
    let mut bytes = fs::read(&log).unwrap();
    damage(&mut bytes);
    fs::write(log, bytes).unwrap();
    copy
}

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

mod reach;

mod groups {
    use super::*;

    /// Commits that wait while the writer is held are one group; their answers, in order.
    async fn grouped(store: &RocksMetadata, changes: Vec<Change>) -> Vec<Option<MetadataErrorKind>> {
        let database = Arc::clone(&store.0.database);
        let (held, wait) = std::sync::mpsc::channel();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let holder = std::thread::spawn(move || {
            let guard = database.hold();
            held.send(()).unwrap();
            released.recv().unwrap();
            drop(guard);
        });
        wait.recv().unwrap();
        let mut commits: Vec<_> = changes
            .into_iter()
            .map(|change| Box::pin(kind(store, change)))
            .collect();
        for commit in &mut commits {
            // Polled in order, so queued in order.
            tokio::select! {
                biased;
                _ = commit.as_mut() => panic!("the writer is held"),
                () = std::future::ready(()) => {}
            }
        }
        release.send(()).unwrap();
        holder.join().unwrap();
        join_all(commits).await
    }

    #[tokio::test]
    async fn changes_of_one_group_are_decided_one_after_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let touch = |revision| ChangeKind::Touch {
            expected: Revision::from_number(revision),
        };
        let delete = ChangeKind::Delete {
            expected: Revision::from_number(4),
        };
        let answers = grouped(
            &store,
            vec![
                creation(1),
                creation(1),
                change(1, claim(1)),
                change(1, claim(2)),
                change(1, touch(2)),
                change(1, touch(2)),
                change(1, touch(3)),
                change(1, delete),
                creation(1),
                creation(2),
            ],
        )
        .await;
        let status = Rejection::Status {
            from: crate::image::Status::Saving,
            to: crate::image::Status::Saving,
        };
        let refused = |rejection| Some(MetadataErrorKind::Rejected(rejection));
        assert_eq!(
            answers,
            [
                None,
                refused(Rejection::Exists),
                None,
                refused(status),
                None,
                refused(Rejection::Revision),
                None,
                None,
                refused(Rejection::Deleted),
                None,
            ]
        );
        assert_eq!(store.0.database.with(writer::last_group).unwrap(), 1, "one write");
        assert_eq!(count(&store).await, 1);
        assert_eq!(store.claims().await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_group_that_was_not_written_acknowledges_and_refuses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        store.0.database.faults.lock().unwrap().push(Fault::BeforeWrite);
        let answers = grouped(&store, vec![creation(1), creation(1), change(1, claim(1))]).await;
        assert_eq!(answers, [Some(MetadataErrorKind::Unavailable); 3]);
        assert_eq!(count(&store).await, 0);
        assert_eq!(
            kind(&store, creation(1)).await,
            None,
            "the store works again at once"
        );
    }

    #[tokio::test]
    async fn a_group_that_was_written_before_the_error_is_acknowledged() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        store.0.database.faults.lock().unwrap().push(Fault::AfterWrite);
        let answers = grouped(&store, vec![creation(1), creation(1)]).await;
        let exists = MetadataErrorKind::Rejected(Rejection::Exists);
        assert_eq!(answers, [None, Some(exists)]);
        assert_eq!(count(&store).await, 1);
    }

    #[tokio::test]
    async fn while_the_database_is_not_back_the_outcome_is_unknown_and_later_changes_are_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        kind(&store, creation(1)).await;
        let faults = std::iter::once(Fault::BeforeWrite).chain([Fault::Recovery; 100]);
        store.0.database.faults.lock().unwrap().extend(faults);
        assert_eq!(
            kind(&store, creation(2)).await,
            Some(MetadataErrorKind::OutcomeUnknown)
        );
        let begun = Instant::now();
        for _ in 0..5 {
            assert_eq!(
                kind(&store, creation(3)).await,
                Some(MetadataErrorKind::Unavailable)
            );
        }
        assert!(begun.elapsed() < Duration::from_secs(2));
        assert_eq!(count(&store).await, 1, "reads go on");
        store.0.database.faults.lock().unwrap().clear();
        while kind(&store, creation(3)).await.is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(count(&store).await, 2);
    }

    /// What is answered to the creation of a namespace: the error's kind, where there is one.
    async fn define(store: &RocksMetadata, name: &str) -> Option<MetadataErrorKind> {
        let draft = serde_json::json!({ "namespace": name, "resource_type_associations": [{ "name": "R" }] });
        let at = Timestamp::from_micros(9);
        let draft = metadefs::NamespaceDraft::parse(draft).unwrap();
        let namespace = Box::new(metadefs::Namespace::new(draft, None, at).unwrap());
        let kind = metadefs::ChangeKind::Create(namespace);
        match store.define(metadefs::Change { at, kind }).await {
            Ok(_) => None,
            Err(DefineError::Store(error)) => Some(error.kind),
            Err(DefineError::Rejected(rejection)) => panic!("{rejection}"),
        }
    }

    #[tokio::test]
    async fn definitions_share_the_groups_and_the_fate_of_images() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        store.0.database.faults.lock().unwrap().push(Fault::BeforeWrite);
        assert_eq!(define(&store, "n").await, Some(MetadataErrorKind::Unavailable));
        assert_eq!(store.namespace("n").await.unwrap(), None);
        assert!(store.resource_types().await.unwrap().is_empty());
        store.0.database.faults.lock().unwrap().push(Fault::AfterWrite);
        assert_eq!(define(&store, "n").await, None);
        assert!(store.namespace("n").await.unwrap().is_some());

        let hold = store.0.database.hold();
        let both = async { tokio::join!(kind(&store, creation(1)), define(&store, "m")) };
        let release = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            drop(hold);
        };
        let (answers, ()) = tokio::join!(both, release);
        assert_eq!(answers, (None, None));
        store.close().await;
        let store = open(dir.path());
        assert!(store.namespace("m").await.unwrap().is_some());
        assert_eq!(count(&store).await, 1);
        assert_eq!(store.resource_types().await.unwrap().len(), 1);
        store.close().await;
    }

    #[tokio::test]
    async fn while_the_database_is_not_back_definitions_are_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let faults = std::iter::once(Fault::BeforeWrite).chain([Fault::Recovery; 100]);
        store.0.database.faults.lock().unwrap().extend(faults);
        assert_eq!(define(&store, "n").await, Some(MetadataErrorKind::OutcomeUnknown));
        assert_eq!(define(&store, "m").await, Some(MetadataErrorKind::Unavailable));
        store.0.database.faults.lock().unwrap().clear();
        while define(&store, "m").await.is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(store.namespace("m").await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_store_can_be_closed_while_the_database_is_not_back() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let faults = std::iter::once(Fault::BeforeWrite).chain([Fault::Recovery; 100]);
        store.0.database.faults.lock().unwrap().extend(faults);
        kind(&store, creation(1)).await;
        store.close().await;
        assert_eq!(count(&open(dir.path())).await, 0);
    }
}

mod keeping {
    use super::*;

    #[tokio::test]
    async fn everything_is_there_after_closing_and_after_dropping() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("made/with/parents");
        let store = open(&path);
        kind(&store, creation(1)).await;
        kind(&store, change(1, claim(1))).await;
        let (entry, claims) = (store.entry(id(1)).await.unwrap(), store.claims().await.unwrap());
        let other = store.clone();
        store.close().await;
        assert_eq!(
            kind(&other, creation(2)).await,
            Some(MetadataErrorKind::Unavailable)
        );
        assert_eq!(
            other.entry(id(1)).await.unwrap_err().kind,
            MetadataErrorKind::Unavailable
        );
        let store = open(&path);
        assert_eq!(store.entry(id(1)).await.unwrap(), entry);
        assert_eq!(store.claims().await.unwrap(), claims);
        drop(store);
        assert_eq!(count(&open(&path)).await, 1);
    }

    #[tokio::test]
    async fn a_crash_loses_nothing_that_was_acknowledged() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        for number in 0..10 {
            assert_eq!(kind(&store, creation(number)).await, None);
            let copy = crash(dir.path(), |_| {});
            assert_eq!(
                count(&open(copy.path())).await,
                usize::try_from(number).unwrap() + 1
            );
        }
    }

    #[tokio::test]
    async fn a_torn_end_of_the_log_loses_only_the_change_it_tears() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        kind(&store, creation(1)).await;
        let whole = fs::read(files(dir.path(), "log").pop().unwrap()).unwrap().len();
        kind(&store, creation(2)).await;
        let longer = fs::read(files(dir.path(), "log").pop().unwrap()).unwrap().len();
        for length in [whole, whole + 3, whole + 40, longer - 1] {
            let copy = crash(dir.path(), |log| log.truncate(length));
            let recovered = open(copy.path());
            assert_eq!(count(&recovered).await, 1, "{length}");
            assert_eq!(kind(&recovered, creation(2)).await, None);
        }
    }

    #[tokio::test]
    async fn damage_in_the_middle_of_the_log_refuses_to_open_and_drops_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        for number in 0..200 {
            kind(&store, creation(number)).await;
        }
        let copy = crash(dir.path(), |log| {
            let middle = log.len() / 2;
            log[middle] ^= 1;
        });
        for _ in 0..2 {
            let error = RocksMetadata::open(copy.path(), SMALL).unwrap_err();
            assert_eq!(error.kind, OpenErrorKind::Damaged);
            assert!(error.to_string().contains("backup"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_missing_file_refuses_to_open() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        kind(&store, creation(1)).await;
        store.close().await;
        // Opening made a file of the log.
        open(dir.path()).close().await;
        let lost = files(dir.path(), "sst").pop().unwrap();
        let kept = fs::read(&lost).unwrap();
        fs::remove_file(&lost).unwrap();
        assert_eq!(refusal(dir.path()), OpenErrorKind::Damaged);
        fs::write(&lost, kept).unwrap();
        fs::rename(dir.path().join("CURRENT"), dir.path().join("gone")).unwrap();
        assert_eq!(
            refusal(dir.path()),
            OpenErrorKind::Damaged,
            "and no new database is made over it"
        );
        fs::rename(dir.path().join("gone"), dir.path().join("CURRENT")).unwrap();
        assert_eq!(count(&open(dir.path())).await, 1);
    }

    #[tokio::test]
    async fn a_directory_in_use_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let _store = open(dir.path());
        let error = RocksMetadata::open(dir.path(), SMALL).unwrap_err();
        assert_eq!(error.kind, OpenErrorKind::InUse);
        assert!(
            error.to_string().contains("another daemon uses this directory"),
            "{error}"
        );
    }

    #[test]
    fn a_layout_of_a_later_version_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path()));
        let db = DB::open_default(dir.path()).unwrap();
        db.put(keys::SCHEMA, 3_u32.to_be_bytes()).unwrap();
        drop(db);
        assert_eq!(refusal(dir.path()), OpenErrorKind::Newer { found: 3, known: 2 });
    }

    #[tokio::test]
    async fn a_layout_of_an_earlier_version_is_brought_up_to_date() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        for number in 1..=40 {
            let image = Image {
                name: Some(format!("image {number}")),
                ..image(number)
            };
            kind(&store, change(number, ChangeKind::Create(Box::new(image)))).await;
        }
        store.close().await;
        let db = DB::open_default(dir.path()).unwrap();
        // As the first version was: without terms.
        let terms: Vec<_> = db.prefix_iterator(b"t").map(|item| item.unwrap().0).collect();
        assert!(terms.len() >= 40);
        for key in terms.iter().filter(|key| key.starts_with(b"t")) {
            db.delete(key).unwrap();
        }
        db.put(keys::SCHEMA, 1_u32.to_be_bytes()).unwrap();
        drop(db);
        let store = open(dir.path());
        for number in 1..=40 {
            let name = format!("image {number}");
            let query = Query {
                filter: Filter(vec![Condition::OneOf(Text::Name, vec![name])]),
                ..all()
            };
            let page = store.list(query).await.unwrap();
            let found: Vec<_> = page.images.iter().map(|found| found.id).collect();
            assert_eq!(found, [id(number)]);
        }
        drop(store);
        drop(open(dir.path()));
    }

    #[tokio::test]
    async fn the_greatest_id_is_found_by_what_its_image_has() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let last = Image {
            tags: ["last".to_owned()].into(),
            ..image(u32::MAX)
        };
        let id = ImageId::from_bytes([0xFF; 16]);
        let creation = Change {
            id,
            at: Timestamp::from_micros(9),
            kind: ChangeKind::Create(Box::new(Image { id, ..last })),
        };
        store.commit(creation).await.unwrap();
        let query = Query {
            filter: Filter(vec![Condition::Tag("last".to_owned())]),
            ..all()
        };
        assert_eq!(store.list(query).await.unwrap().images.len(), 1);
    }

    #[test]
    fn a_database_that_is_not_ours_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        DB::open_default(dir.path()).unwrap().put("a", "b").unwrap();
        assert_eq!(refusal(dir.path()), OpenErrorKind::Foreign);
    }

    #[tokio::test]
    async fn a_record_that_cannot_be_read_is_an_error_and_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        kind(&store, creation(1)).await;
        kind(&store, creation(2)).await;
        store
            .0
            .database
            .with(|db| db.put(keys::entry(id(1)), [1, 2, 3]).map_err(read_error))
            .unwrap();
        let corrupt = MetadataErrorKind::Corrupt;
        assert_eq!(store.entry(id(1)).await.unwrap_err().kind, corrupt);
        assert_eq!(store.list(all()).await.unwrap_err().kind, corrupt);
        assert_eq!(kind(&store, change(1, claim(1))).await, Some(corrupt));
        let stored = store
            .0
            .database
            .with(|db| db.get(keys::entry(id(1))).map_err(read_error));
        assert_eq!(stored.unwrap().unwrap(), [1, 2, 3]);
        assert_eq!(kind(&store, change(2, claim(1))).await, None, "others go on");
    }

    #[test]
    fn the_directory_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metadata");
        drop(open(&path));
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o700);
    }
}

/// A small file system of its own, unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=24m", "none"])
            .arg(dir.path())
            .status();
        mount.is_ok_and(|status| status.success()).then_some(Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_changes_and_is_survived_without_restart() {
    let Some(disk) = SmallDisk::mount() else {
        // CI runs as root, where this cannot happen.
        assert!(!rustix::process::geteuid().is_root(), "root can mount a tmpfs");
        eprintln!("SKIPPED: a small file system can only be mounted by root");
        return;
    };
    let store = open(&disk.0.path().join("metadata"));
    let sized = |number: u32| {
        let properties = [("p".to_owned(), "x".repeat(20_000))].into();
        let image = Image {
            properties,
            ..image(number)
        };
        change(number, ChangeKind::Create(Box::new(image)))
    };
    let (mut acknowledged, mut refused) = (Vec::new(), Vec::new());
    for number in 0..20 {
        assert_eq!(kind(&store, sized(number)).await, None);
        acknowledged.push(number);
    }
    let mut filler = fs::File::create(disk.0.path().join("filler")).unwrap();
    while std::io::Write::write_all(&mut filler, &[1; 4096]).is_ok() {}
    let mut number = 20;
    while refused.len() < 20 {
        let begun = Instant::now();
        match kind(&store, sized(number)).await {
            None => acknowledged.push(number),
            Some(MetadataErrorKind::Full) => refused.push(number),
            Some(MetadataErrorKind::OutcomeUnknown) => {}
            Some(other) => panic!("{other}"),
        }
        assert!(begun.elapsed() < Duration::from_secs(3), "an answer at once");
        assert_eq!(count(&store).await, acknowledged.len(), "reads go on");
        number += 1;
    }
    drop(filler);
    fs::remove_file(disk.0.path().join("filler")).unwrap();
    let begun = Instant::now();
    while kind(&store, sized(1_000_000)).await.is_some() {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "the store did not come back"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    acknowledged.push(1_000_000);
    let store = {
        store.close().await;
        open(&disk.0.path().join("metadata"))
    };
    for number in acknowledged {
        assert!(store.entry(id(number)).await.unwrap().is_some(), "{number}");
    }
    for number in refused {
        assert!(store.entry(id(number)).await.unwrap().is_none(), "{number}");
    }
}

mod figures {
    use super::*;
    use crate::image::Usage;

    fn owned(number: u32) -> Change {
        let image = Image {
            owner: Some("us".into()),
            ..image(number)
        };
        change(number, ChangeKind::Create(Box::new(image)))
    }

    async fn images(store: &RocksMetadata) -> u64 {
        store.usage("us").await.unwrap().images
    }

    /// Changes the database as an earlier version would, which keeps no figures.
    fn tamper(dir: &Path, change: impl FnOnce(&DB)) {
        let database = Database::open(dir, SMALL).unwrap();
        database
            .with(|db| {
                change(db);
                Ok(())
            })
            .unwrap();
        database.close();
    }

    async fn three_images(dir: &Path) {
        let store = open(dir);
        for number in 1..=3 {
            store.commit(owned(number)).await.unwrap();
        }
        store.close().await;
    }

    #[tokio::test]
    async fn outlive_a_restart_and_are_not_counted_again() {
        let dir = tempfile::tempdir().unwrap();
        three_images(dir.path()).await;
        let wrong = [7_u64, 0, 0, 0].map(u64::to_be_bytes).concat();
        tamper(dir.path(), |db| db.put(keys::usage("us"), &wrong).unwrap());
        let store = open(dir.path());
        assert_eq!(images(&store).await, 7, "a count of everything would say 3");
        store.close().await;
    }

    #[tokio::test]
    async fn are_counted_anew_in_a_database_of_an_earlier_version() {
        let dir = tempfile::tempdir().unwrap();
        three_images(dir.path()).await;
        tamper(dir.path(), |db| {
            db.delete(keys::USAGE).unwrap();
            db.delete(keys::usage("us")).unwrap();
        });
        let store = open(dir.path());
        assert_eq!(images(&store).await, 3);
        store.close().await;
    }

    #[tokio::test]
    async fn are_counted_anew_when_an_earlier_version_has_written_since() {
        let dir = tempfile::tempdir().unwrap();
        three_images(dir.path()).await;
        tamper(dir.path(), |db| {
            db.delete(keys::entry(id(1))).unwrap();
            db.put(keys::usage("gone"), [1; 32]).unwrap();
            let group = writer::last_group(db).unwrap();
            db.put(keys::GROUP, (group + 1).to_be_bytes()).unwrap();
        });
        let store = open(dir.path());
        assert_eq!(images(&store).await, 2);
        assert_eq!(store.usage("gone").await.unwrap(), Usage::NONE);
        store.commit(owned(9)).await.unwrap();
        assert_eq!(images(&store).await, 3);
        store.close().await;
    }

    #[tokio::test]
    async fn of_a_group_that_was_not_written_do_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        store.commit(owned(1)).await.unwrap();
        store.0.database.faults.lock().unwrap().push(Fault::BeforeWrite);
        assert!(store.commit(owned(2)).await.is_err());
        assert_eq!(images(&store).await, 1);
        store.commit(owned(3)).await.unwrap();
        assert_eq!(images(&store).await, 2);
    }

    #[tokio::test]
    async fn that_cannot_be_read_are_damage() {
        let dir = tempfile::tempdir().unwrap();
        three_images(dir.path()).await;
        tamper(dir.path(), |db| db.put(keys::usage("us"), [1; 31]).unwrap());
        let store = open(dir.path());
        assert_eq!(
            store.usage("us").await.unwrap_err().kind,
            MetadataErrorKind::Corrupt
        );
    }
}
