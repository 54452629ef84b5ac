//! The changes of imports and copies.

use super::*;

fn in_store(store: &str) -> Location {
    Location {
        store: Some(StoreId::new(store)),
        url: format!("file:///{store}/{}", ImageId::from_bytes([1; 16])),
        metadata: Default::default(),
    }
}

fn stores(ids: &[&str]) -> Vec<StoreId> {
    ids.iter().map(|id| StoreId::new(*id)).collect()
}

fn import(attempt: AttemptId, staged: Option<AttemptId>) -> ChangeKind {
    ChangeKind::Import {
        claim: claim(attempt),
        staged,
        task: "t".into(),
        stores: stores(&["one", "two"]),
    }
}

fn activate(attempt: AttemptId, ids: &[&str]) -> ChangeKind {
    ChangeKind::Activate {
        content: content(attempt),
        locations: ids.iter().map(|id| in_store(id)).collect(),
        amendments: Box::default(),
    }
}

fn copy(attempt: AttemptId, ids: &[&str]) -> ChangeKind {
    ChangeKind::Copy {
        claim: claim(attempt),
        task: "t".into(),
        stores: stores(ids),
    }
}

fn copied(attempt: AttemptId, ids: &[&str]) -> ChangeKind {
    ChangeKind::Copied {
        attempt,
        locations: ids.iter().map(|id| in_store(id)).collect(),
    }
}

fn staged(attempt: AttemptId) -> [ChangeKind; 2] {
    let content = content(attempt);
    let host = Some("http://one:9292".to_owned());
    [
        ChangeKind::Stage(claim(attempt)),
        ChangeKind::Staged { content, host },
    ]
}

/// In the store `one`.
fn imported() -> Entry {
    after([import(A, None), activate(A, &["one"])])
}

fn image_of(entry: &Entry) -> &Image {
    entry.live().unwrap()
}

fn said(entry: &Entry, property: &str) -> Option<String> {
    image_of(entry).properties.get(property).cloned()
}

#[test]
fn what_waits_is_imported_by_whoever_names_it_and_by_nobody_else() {
    let waiting = after(staged(A));
    assert_eq!(image_of(&waiting).status, Status::Uploading);
    assert_eq!(image_of(&waiting).staged(), Some(A));
    for staged in [None, Some(B)] {
        assert!(apply(&waiting, import(B, staged)).is_err(), "{staged:?}");
    }
    assert_eq!(
        apply(&waiting, ChangeKind::Fence { attempt: A }),
        Err(Rejection::Committed)
    );
    let importing = apply(&waiting, import(B, Some(A))).unwrap();
    assert_eq!(image_of(&importing).status, Status::Importing);
    assert_eq!(
        apply(&importing, ChangeKind::Unstage { attempt: A }),
        Err(Rejection::NotHeld)
    );
    let active = apply(&importing, activate(B, &["one", "two"])).unwrap();
    assert_eq!(image_of(&active).status, Status::Active);
    assert_eq!(said(&active, "os_glance_failed_import").as_deref(), Some(""));
}

#[test]
fn an_image_that_is_being_brought_in_part_is_not_imported() {
    let bringing = after([ChangeKind::Stage(claim(A))]);
    for staged in [None, Some(A)] {
        assert!(apply(&bringing, import(B, staged)).is_err(), "{staged:?}");
    }
    let failed = [
        ChangeKind::Fence { attempt: A },
        ChangeKind::Release { attempt: A },
    ];
    let queued = failed
        .into_iter()
        .fold(bringing, |entry, kind| apply(&entry, kind).unwrap());
    assert_eq!(image_of(&queued).status, Status::Queued);
}

#[test]
fn an_import_says_where_it_goes_and_where_it_did_not_arrive() {
    let importing = after([import(A, None)]);
    assert_eq!(said(&importing, IMPORT_TASK).as_deref(), Some("t"));
    assert_eq!(said(&importing, IMPORTING_TO).as_deref(), Some("one,two"));
    let active = apply(&importing, activate(A, &["one"])).unwrap();
    assert_eq!(said(&active, IMPORT_TASK), None);
    assert_eq!(said(&active, IMPORTING_TO).as_deref(), Some(""));
    assert_eq!(said(&active, "os_glance_failed_import").as_deref(), Some("two"));
    let released = [
        ChangeKind::Fence { attempt: A },
        ChangeKind::Release { attempt: A },
    ];
    let queued = released
        .into_iter()
        .fold(importing, |entry, kind| apply(&entry, kind).unwrap());
    assert_eq!(image_of(&queued).status, Status::Queued);
    assert_eq!(
        said(&queued, "os_glance_failed_import").as_deref(),
        Some("one,two")
    );
}

#[test]
fn an_image_shows_where_the_wrong_data_was_and_takes_other_data() {
    let wrong = ChangeKind::Mismatch {
        attempt: A,
        location: in_store("web"),
    };
    let queued = after([ChangeKind::Adopt(claim(A)), wrong.clone()]);
    let image = image_of(&queued);
    assert_eq!(
        (image.status, image.claim, image.size()),
        (Status::Queued, None, None)
    );
    assert_eq!(image.locations, [in_store("web")]);
    assert_eq!(apply(&queued, wrong), Err(Rejection::NotHeld));
    let active = [ChangeKind::Claim(claim(B)), commit(B)];
    let active = active
        .into_iter()
        .fold(queued, |entry, kind| apply(&entry, kind).unwrap());
    assert_eq!(image_of(&active).locations.len(), 1);
    assert_eq!(image_of(&active).locations[0].url, "file:///x");
}

#[test]
fn a_location_that_was_wrong_makes_no_image_active() {
    let location = in_store("web");
    let wrong = ChangeKind::Mismatch { attempt: A, location };
    let queued = after([ChangeKind::Adopt(claim(A)), wrong]);
    let ChangeKind::Relocate {
        expected,
        image,
        removal,
        ..
    } = relocation(&queued, &[in_store("web")], 1)
    else {
        panic!()
    };
    let unknown = ChangeKind::Relocate {
        expected,
        image,
        content: None,
        removal,
    };
    assert!(matches!(apply(&queued, unknown), Err(Rejection::Status { .. })));
}

#[test]
fn a_copy_adds_locations_to_an_image_that_stays_active_all_the_time() {
    let copying = apply(&imported(), copy(B, &["two", "three"])).unwrap();
    assert_eq!(image_of(&copying).status, Status::Active);
    assert_eq!(said(&copying, IMPORTING_TO).as_deref(), Some("two,three"));
    let done = apply(&copying, copied(B, &["two"])).unwrap();
    let image = image_of(&done);
    assert_eq!(image.locations, [in_store("one"), in_store("two")]);
    assert_eq!((image.status, image.claim), (Status::Active, None));
    assert_eq!(image.content.as_ref().map(|content| content.attempt), Some(A));
    assert_eq!(said(&done, "os_glance_failed_import").as_deref(), Some("three"));
}

#[test]
fn a_copy_begins_only_where_nothing_of_the_image_is_and_while_no_other_is_under_way() {
    let active = imported();
    assert_eq!(apply(&active, copy(B, &["two", "one"])), Err(Rejection::Exists));
    assert!(matches!(
        apply(&after([]), copy(B, &["two"])),
        Err(Rejection::Status { .. })
    ));
    let copying = apply(&active, copy(B, &["two"])).unwrap();
    assert_eq!(apply(&copying, copy(A, &["three"])), Err(Rejection::Busy));
    let both = apply(&active, copy(B, &["two"])).and_then(|copying| apply(&copying, copied(B, &["two"])));
    let both = both.unwrap();
    // What was in a store a moment ago is still being removed there.
    let one_left = apply(&both, relocation(&both, &[in_store("one")], 1)).unwrap();
    assert_eq!(apply(&one_left, copy(B, &["two"])), Err(Rejection::Retired));
}

#[test]
fn during_a_copy_locations_may_go_and_none_may_come() {
    let active = imported();
    let copied = apply(&active, copy(B, &["two"])).and_then(|copying| apply(&copying, copied(B, &["two"])));
    let copying = apply(&copied.unwrap(), copy(A, &["three"])).unwrap();
    let three = [in_store("one"), in_store("two"), in_store("three")];
    assert_eq!(
        apply(&copying, relocation(&copying, &three, 1)),
        Err(Rejection::Busy)
    );
    assert!(apply(&copying, relocation(&copying, &[in_store("two")], 1)).is_ok());
}

#[test]
fn a_copy_that_was_given_up_never_ends_and_its_image_stays_active() {
    let copying = apply(&imported(), copy(B, &["two"])).unwrap();
    let fenced = apply(&copying, ChangeKind::Fence { attempt: B }).unwrap();
    assert_eq!(apply(&fenced, copied(B, &["two"])), Err(Rejection::Fenced));
    let released = apply(&fenced, ChangeKind::Release { attempt: B }).unwrap();
    let image = image_of(&released);
    assert_eq!((image.status, image.claim), (Status::Active, None));
    assert_eq!(image.locations, [in_store("one")]);
    assert_eq!(image.size(), Some(3));
    assert_eq!(said(&released, "os_glance_failed_import").as_deref(), Some("two"));
}

#[test]
fn an_image_deleted_during_its_copy_is_gone_and_one_restored_waits_for_no_copy() {
    let copying = apply(&imported(), copy(B, &["two"])).unwrap();
    let expected = image_of(&copying).revision;
    let deleted = apply(&copying, ChangeKind::Delete { expected }).unwrap();
    assert_eq!(apply(&deleted, copied(B, &["two"])), Err(Rejection::Deleted));
    let pending = deferred(&copying);
    assert_eq!(apply(&pending, copied(B, &["two"])), Err(Rejection::NotHeld));
    let expected = pending_revision(&pending);
    let restored = apply(&pending, ChangeKind::Restore { expected }).unwrap();
    assert_eq!(apply(&restored, copied(B, &["two"])), Err(Rejection::Fenced));
    assert_eq!(apply(&restored, copy(A, &["two"])), Err(Rejection::Busy));
    let released = apply(&restored, ChangeKind::Release { attempt: B }).unwrap();
    assert!(apply(&released, copy(A, &["two"])).is_ok());
    assert_eq!(said(&restored, IMPORTING_TO).as_deref(), Some(""));
}

#[test]
fn a_copy_of_an_image_that_is_deactivated_meanwhile_goes_on() {
    let copying = apply(&imported(), copy(B, &["two"])).unwrap();
    let expected = image_of(&copying).revision;
    let deactivated = apply(&copying, ChangeKind::Deactivate { expected }).unwrap();
    let done = apply(&deactivated, copied(B, &["two"])).unwrap();
    assert_eq!(image_of(&done).status, Status::Deactivated);
    assert_eq!(image_of(&done).locations.len(), 2);
}

#[test]
fn where_data_waits_is_said_for_as_long_as_it_waits() {
    let waiting = after(staged(A));
    assert_eq!(said(&waiting, STAGE_HOST).as_deref(), Some("http://one:9292"));
    let unstaged = apply(&waiting, ChangeKind::Unstage { attempt: A }).unwrap();
    assert_eq!(said(&unstaged, STAGE_HOST), None);
    let importing = apply(&waiting, import(B, Some(A))).unwrap();
    assert_eq!(said(&importing, STAGE_HOST), None);
    // A node without a URL of its own says nothing, nor what another has said.
    let [stage, _] = staged(A);
    let kept = ChangeKind::Staged {
        content: content(A),
        host: None,
    };
    assert_eq!(said(&after([stage, kept]), STAGE_HOST), None);
}

#[test]
fn what_plugins_have_made_of_an_image_comes_with_its_data() {
    let importing = after([import(A, None)]);
    let before = image_of(&importing).clone();
    let pairs = [
        ("os_distro", "debian"),
        ("os_glance_stage_host", "http://evil"),
        (IMPORT_TASK, "x"),
    ];
    let kind = ChangeKind::Activate {
        content: content(A),
        locations: vec![in_store("one")],
        amendments: Box::new(Amendments {
            disk_format: Some("raw".into()),
            container_format: None,
            properties: pairs
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        }),
    };
    let active = apply(&importing, kind).unwrap();
    let image = image_of(&active);
    assert_eq!(image.disk_format.as_deref(), Some("raw"));
    assert_eq!(image.container_format, before.container_format);
    assert_eq!(said(&active, "os_distro").as_deref(), Some("debian"));
    assert_eq!(said(&active, "os_glance_stage_host"), None);
    assert_eq!(said(&active, IMPORT_TASK), None);
}
