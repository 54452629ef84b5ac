use std::{io, path::Path, sync::Arc};

use super::{Fault, IO_ERROR, Loss, NO_SPACE, SimulatedDisk};
use crate::{Disk, DiskFile};

const LOSSES: [Loss; 2] = [Loss::Everything, Loss::Nothing];

fn path(text: &str) -> &Path {
    Path::new(text)
}

/// A file of `/d` with durable name and bytes, and the disk it is on.
fn disk_with_file(name: &str, bytes: &[u8]) -> (SimulatedDisk, Box<dyn DiskFile>) {
    let disk = SimulatedDisk::new();
    disk.create_dir(path("/d")).unwrap();
    disk.sync_dir(path("/")).unwrap();
    let file = disk.create_new(&path("/d").join(name), 0o600).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(path("/d")).unwrap();
    (disk, file)
}

fn content(disk: &SimulatedDisk, at: &str) -> Option<Vec<u8>> {
    let files = disk.files();
    let found = files.into_iter().find(|(name, _)| name == path(at))?;
    Some(found.1)
}

#[test]
fn what_was_synced_survives_every_crash() {
    let (disk, _file) = disk_with_file("a", b"kept");
    let seeds = (0..50).map(Loss::Seeded);
    for loss in LOSSES.into_iter().chain(seeds) {
        assert_eq!(
            content(&disk.after_crash(loss), "/d/a").as_deref(),
            Some(&b"kept"[..])
        );
    }
}

#[test]
fn unsynced_bytes_are_lost_and_the_length_with_them() {
    let (disk, file) = disk_with_file("a", b"old");
    file.write_all_at(b"newer", 0).unwrap();
    assert_eq!(content(&disk, "/d/a").unwrap(), b"newer");
    assert_eq!(
        content(&disk.after_crash(Loss::Everything), "/d/a").unwrap(),
        b"old"
    );
    assert_eq!(
        content(&disk.after_crash(Loss::Nothing), "/d/a").unwrap(),
        b"newer"
    );
}

#[test]
fn an_unsynced_name_is_lost_though_its_bytes_were_synced() {
    let (disk, _file) = disk_with_file("a", b"");
    let file = disk.create_new(path("/d/b"), 0o600).unwrap();
    file.write_all_at(b"x", 0).unwrap();
    file.sync_data().unwrap();
    assert_eq!(content(&disk.after_crash(Loss::Everything), "/d/b"), None);
    disk.sync_dir(path("/d")).unwrap();
    assert_eq!(
        content(&disk.after_crash(Loss::Everything), "/d/b").unwrap(),
        b"x"
    );
}

#[test]
fn a_directory_is_lost_with_all_in_it_until_its_parent_is_synced() {
    let disk = SimulatedDisk::new();
    disk.create_dir(path("/d")).unwrap();
    disk.create_new(path("/d/a"), 0o600).unwrap().sync_data().unwrap();
    disk.sync_dir(path("/d")).unwrap();
    assert!(disk.after_crash(Loss::Everything).files().is_empty());
    disk.sync_dir(path("/")).unwrap();
    assert_eq!(disk.after_crash(Loss::Everything).files().len(), 1);
}

#[test]
fn an_unsynced_removal_is_undone() {
    let (disk, _file) = disk_with_file("a", b"kept");
    disk.unlink(path("/d/a")).unwrap();
    assert_eq!(content(&disk, "/d/a"), None);
    assert_eq!(
        content(&disk.after_crash(Loss::Everything), "/d/a").unwrap(),
        b"kept"
    );
    assert_eq!(content(&disk.after_crash(Loss::Nothing), "/d/a"), None);
}

#[test]
fn seeds_lose_each_name_by_itself() {
    let (disk, _file) = disk_with_file("a", b"");
    disk.link(path("/d/a"), path("/d/b")).unwrap();
    disk.unlink(path("/d/a")).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..64 {
        let after = disk.after_crash(Loss::Seeded(seed));
        seen.insert((
            content(&after, "/d/a").is_some(),
            content(&after, "/d/b").is_some(),
        ));
    }
    assert_eq!(seen.len(), 4, "all four outcomes are possible: {seen:?}");
}

#[test]
fn a_rename_is_lost_or_kept_as_a_whole() {
    let (disk, _file) = disk_with_file("a", b"new");
    disk.plant(path("/d/b"), b"old").unwrap();
    disk.rename(path("/d/a"), path("/d/b")).unwrap();
    for seed in 0..64 {
        let after = disk.after_crash(Loss::Seeded(seed));
        let both = (content(&after, "/d/a"), content(&after, "/d/b"));
        assert!(
            both == (None, Some(b"new".to_vec())) || both == (Some(b"new".to_vec()), Some(b"old".to_vec())),
            "{both:?}"
        );
    }
}

#[test]
fn seeds_lose_keep_zero_and_tear_bytes_and_repeat_themselves() {
    let (disk, file) = disk_with_file("a", &[1; 2048]);
    file.write_all_at(&[2; 4096], 0).unwrap();
    let outcomes: Vec<_> = (0..64)
        .map(|seed| content(&disk.after_crash(Loss::Seeded(seed)), "/d/a").unwrap())
        .collect();
    let again: Vec<_> = (0..64)
        .map(|seed| content(&disk.after_crash(Loss::Seeded(seed)), "/d/a").unwrap())
        .collect();
    assert_eq!(outcomes, again);
    assert!(outcomes.contains(&vec![1; 2048]), "lost");
    assert!(outcomes.contains(&vec![2; 4096]), "kept");
    assert!(outcomes.iter().any(|bytes| bytes.ends_with(&[0])), "zeroes");
    assert!(
        outcomes
            .iter()
            .any(|bytes| bytes.contains(&1) && bytes.contains(&2)),
        "torn"
    );
}

#[test]
fn after_the_crash_every_call_fails_and_changes_nothing() {
    let (disk, file) = disk_with_file("a", b"x");
    disk.crash_after(1);
    file.write_all_at(b"y", 0).unwrap();
    assert!(!disk.has_crashed());
    assert!(file.write_all_at(b"z", 0).is_err());
    assert!(disk.has_crashed());
    assert!(file.sync_data().is_err());
    assert!(disk.stat(path("/d/a")).is_err());
    assert!(disk.open(path("/d/a")).is_err());
    assert_eq!(content(&disk.after_crash(Loss::Nothing), "/d/a").unwrap(), b"y");
}

#[test]
fn a_fault_strikes_the_call_it_was_put_at_and_no_other() {
    let (disk, file) = disk_with_file("a", b"");
    disk.fail(2, Fault::Fail(NO_SPACE));
    file.write_all_at(b"ab", 0).unwrap();
    let error = file.write_all_at(b"cd", 2).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.size().unwrap(), 2);
    disk.fail(1, Fault::Partial(NO_SPACE));
    file.write_all_at(b"cdef", 2).unwrap_err();
    assert_eq!(content(&disk, "/d/a").unwrap(), b"abcd");
    disk.fail(1, Fault::Unknown(IO_ERROR));
    disk.link(path("/d/a"), path("/d/b")).unwrap_err();
    assert_eq!(content(&disk, "/d/b").unwrap(), b"abcd");
}

#[test]
fn a_sync_after_a_failed_one_succeeds_and_saves_nothing() {
    let (disk, file) = disk_with_file("a", b"old");
    file.write_all_at(b"new", 0).unwrap();
    disk.fail(1, Fault::Fail(IO_ERROR));
    file.sync_data().unwrap_err();
    file.sync_data().unwrap();
    for loss in LOSSES {
        assert_eq!(content(&disk.after_crash(loss), "/d/a").unwrap(), b"old");
    }
}

#[test]
fn inode_numbers_are_used_again_but_not_while_the_file_is_open() {
    let (disk, file) = disk_with_file("a", b"");
    let first = disk.stat(path("/d/a")).unwrap().identity;
    disk.unlink(path("/d/a")).unwrap();
    disk.create_new(path("/d/b"), 0o600).unwrap();
    assert_ne!(disk.stat(path("/d/b")).unwrap().identity, first);
    drop(file);
    disk.create_new(path("/d/c"), 0o600).unwrap();
    assert_eq!(disk.stat(path("/d/c")).unwrap().identity, first);
}

#[test]
fn links_share_bytes_and_identity_and_replace_nothing() {
    let (disk, file) = disk_with_file("a", b"");
    disk.link(path("/d/a"), path("/d/b")).unwrap();
    file.write_all_at(b"both", 0).unwrap();
    assert_eq!(content(&disk, "/d/b").unwrap(), b"both");
    assert_eq!(disk.stat(path("/d/a")).unwrap(), disk.stat(path("/d/b")).unwrap());
    disk.create_new(path("/d/c"), 0o600).unwrap();
    let error = disk.link(path("/d/a"), path("/d/c")).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
}

#[test]
fn the_file_it_lends_has_the_bytes_of_that_moment() {
    let (disk, _file) = disk_with_file("a", b"lent");
    let lent = disk.open(path("/d/a")).unwrap().as_file().unwrap();
    disk.unlink(path("/d/a")).unwrap();
    let mut bytes = [0; 8];
    let count = std::os::unix::fs::FileExt::read_at(&*lent, &mut bytes, 0).unwrap();
    assert_eq!(&bytes[..count], b"lent");
    assert_eq!(Arc::strong_count(&lent), 1);
}
