//! Restarts over directories in every state.

use super::*;
use crate::{
    cache::key::Key,
    image::{AttemptId, Content, Image},
};

fn key(number: u8, size: u64) -> Key {
    let mut image = Image::new(ImageId::from_bytes([number; 16]), Timestamp::now());
    image.content = Some(Content {
        attempt: AttemptId::random(),
        size,
        virtual_size: None,
        checksum: Some("ab".to_owned()),
        hash_algorithm: None,
        hash_value: None,
    });
    Key::of(&image).unwrap()
}

/// A directory with these complete images, as a stop leaves it.
fn stopped(images: &[(u8, &[u8])]) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let directory = Directory::open(place.path()).unwrap();
    let mut index = Index::new(1 << 20);
    for (number, bytes) in images {
        let key = key(*number, bytes.len() as u64);
        let name = format!("{}.x", key.image());
        let mut file = directory.create(&name).unwrap();
        file.write_all(bytes).unwrap();
        let stamp = directory.publish(&name, &file).unwrap();
        index.insert(key.image(), Entry::new(&key, name, stamp, Timestamp::now()));
    }
    index.enqueue(ImageId::from_bytes([99; 16]));
    directory.write_index(&Snapshot::of(&index)).unwrap();
    place
}

fn file(place: &tempfile::TempDir, number: u8) -> PathBuf {
    let id = ImageId::from_bytes([number; 16]);
    place.path().join(NAME).join("data").join(format!("{id}.x"))
}

fn start(place: &tempfile::TempDir) -> (Directory, Found) {
    let directory = Directory::open(place.path()).unwrap();
    let found = directory.load(1 << 20).unwrap();
    (directory, found)
}

fn images(found: &Found) -> Vec<u8> {
    found.index.iter().map(|(id, _)| id.as_bytes()[0]).collect()
}

#[test]
fn what_was_complete_is_there_after_a_restart_in_the_order_of_use() {
    let place = stopped(&[(1, b"one"), (2, b"two")]);
    let (directory, found) = start(&place);
    assert_eq!(
        (images(&found), found.removed, found.index.used()),
        (vec![1, 2], 0, 6)
    );
    assert!(found.broken.is_none());
    assert_eq!(found.index.queue().count(), 1);
    let entry = found.index.get(ImageId::from_bytes([1; 16])).unwrap();
    let mut text = String::new();
    let mut opened = directory
        .open_complete(&entry.file, entry.size, entry.stamp)
        .unwrap();
    opened.read_to_string(&mut text).unwrap();
    assert_eq!(text, "one");
}

#[test]
fn files_that_the_index_does_not_know_or_knows_otherwise_are_removed() {
    let place = stopped(&[
        (1, b"one"),
        (2, b"two"),
        (3, b"three"),
        (4, b"four"),
        (5, b"five"),
    ]);
    // Torn, changed in place, replaced by another of the same length, gone.
    OpenOptions::new()
        .write(true)
        .open(file(&place, 1))
        .unwrap()
        .set_len(1)
        .unwrap();
    fs::write(file(&place, 2), "TWO").unwrap();
    let changed = OpenOptions::new().write(true).open(file(&place, 2)).unwrap();
    changed.set_modified(std::time::UNIX_EPOCH).unwrap();
    fs::write(place.path().join("new"), "THREE").unwrap();
    fs::rename(place.path().join("new"), file(&place, 3)).unwrap();
    fs::remove_file(file(&place, 4)).unwrap();
    let root = place.path().join(NAME);
    fs::write(root.join("data/somebody"), "else").unwrap();
    fs::write(root.join("incomplete/half"), "ha").unwrap();
    let (_directory, found) = start(&place);
    assert_eq!((images(&found), found.removed), (vec![5], 5));
    let left = |name: &str| fs::read_dir(root.join(name)).unwrap().count();
    assert_eq!((left("data"), left("incomplete")), (1, 0));
}

#[test]
fn a_broken_index_begins_the_cache_anew() {
    let long = format!("{{\"version\":2,\"entries\":[],\"queue\":[]{}}}", " ".repeat(100));
    for text in [
        "",
        "{",
        "[]",
        "{\"version\":1,\"entries\":[{}],\"queue\":[]}",
        &long,
    ] {
        let place = stopped(&[(1, b"one")]);
        fs::write(place.path().join(NAME).join("index.json"), text).unwrap();
        let (_directory, found) = start(&place);
        assert!(found.broken.is_some(), "{text}");
        assert_eq!((images(&found), found.removed), (vec![], 1), "{text}");
    }
}

#[test]
fn an_index_names_no_file_outside_of_the_directory() {
    let place = stopped(&[(1, b"one")]);
    let path = place.path().join(NAME).join("index.json");
    fs::write(place.path().join("outside"), "one").unwrap();
    let id = ImageId::from_bytes([1; 16]);
    let text = fs::read_to_string(&path).unwrap();
    for name in [
        format!("{id}/../../../outside"),
        "../../outside".to_owned(),
        String::new(),
    ] {
        fs::write(&path, text.replace(&format!("{id}.x"), &name)).unwrap();
        let directory = Directory::open(place.path()).unwrap();
        let found = directory.load(1 << 20).unwrap();
        assert_eq!(images(&found).len(), 0, "{name}");
    }
    assert_eq!(fs::read_to_string(place.path().join("outside")).unwrap(), "one");
}

#[test]
fn a_smaller_limit_holds_from_the_start() {
    let place = stopped(&[(1, b"one"), (2, b"two")]);
    let directory = Directory::open(place.path()).unwrap();
    let found = directory.load(5).unwrap();
    assert_eq!((images(&found), found.removed), (vec![2], 1));
}

#[test]
fn what_glance_has_left_is_counted_and_stays() {
    let place = stopped(&[]);
    for name in ["incomplete", "invalid", "queue"] {
        fs::create_dir(place.path().join(name)).unwrap();
    }
    fs::write(place.path().join("cache.db"), "sqlite").unwrap();
    fs::write(place.path().join("invalid/some-id"), "four").unwrap();
    let (_directory, found) = start(&place);
    assert_eq!(found.foreign, 10);
    assert_eq!(
        fs::read_to_string(place.path().join("invalid/some-id")).unwrap(),
        "four"
    );
}

#[test]
fn a_second_daemon_is_refused() {
    let place = stopped(&[]);
    let _first = Directory::open(place.path()).unwrap();
    let error = Directory::open(place.path()).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
}

#[test]
fn a_place_that_is_no_directory_is_an_error_that_names_it() {
    let place = tempfile::NamedTempFile::new().unwrap();
    let error = Directory::open(place.path()).unwrap_err();
    assert!(error.to_string().contains("cannot create"), "{error}");
}

#[test]
fn indexes_that_are_written_at_once_are_each_whole() {
    let place = stopped(&[(1, b"one")]);
    let (directory, found) = start(&place);
    let snapshot = Snapshot::of(&found.index);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20 {
                    directory.write_index(&snapshot).unwrap();
                    assert!(directory.read_index().unwrap().is_some());
                }
            });
        }
    });
    let names = fs::read_dir(place.path().join(NAME)).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.starts_with(UNFINISHED)).count(), 0);
}

#[test]
fn an_index_that_was_not_written_to_its_end_is_removed_at_the_start() {
    let place = stopped(&[(1, b"one")]);
    let root = place.path().join(NAME);
    for name in ["index.new", "index.new0123"] {
        fs::write(root.join(name), "{").unwrap();
    }
    let (_directory, found) = start(&place);
    assert_eq!(images(&found), [1]);
    assert!(!root.join("index.new").exists() && !root.join("index.new0123").exists());
}

#[test]
fn the_longest_index_that_is_written_is_read_back() {
    use crate::cache::index::{LONGEST_QUEUE, MOST_ENTRIES};
    let last = Timestamp::from_micros(253_402_300_799_999_999);
    let image = ImageId::from_bytes([255; 16]);
    // The longest identity is that of the longest hash.
    let record = Record {
        image,
        number: u64::MAX,
        size: u64::MAX,
        identity: format!("sha3_512:{}", "f".repeat(128)),
        file: format!("{image}.{}", Uuid::new_v4().simple()),
        inode: u64::MAX,
        written: (i64::MIN, 999_999_999),
        hits: u64::MAX,
        accessed: last,
        modified: last,
    };
    let record = serde_json::to_vec(&record).unwrap().len() + 1;
    let queued = serde_json::to_vec(&image).unwrap().len() + 1;
    let all = record * MOST_ENTRIES + queued * LONGEST_QUEUE + 1000;
    assert!((all as u64) < LONGEST_INDEX, "{all}");
}

#[test]
fn only_what_somebody_has_to_configure_otherwise_stops_the_start() {
    let place = stopped(&[]);
    let _first = Directory::open(place.path()).unwrap();
    assert!(Directory::open(place.path()).unwrap_err().is_misconfiguration());
    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(Directory::open(file.path()).unwrap_err().is_misconfiguration());
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join(NAME), "").unwrap();
    assert!(Directory::open(place.path()).unwrap_err().is_misconfiguration());
    use rustix::io::Errno;
    for errno in [Errno::IO, Errno::ROFS, Errno::NOSPC] {
        let error = failed("create", place.path())(errno.into());
        assert!(!error.is_misconfiguration(), "{errno}");
    }
}
